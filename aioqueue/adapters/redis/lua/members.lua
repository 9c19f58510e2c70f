--[[
members: read members of a join, as many as fit.
Uses ground, base
KEYS[1] prefix  of the namespace
ARGV[1] join    its id
ARGV[2] first   number of the first one
ARGV[3] count   most of them
ARGV[4] budget  bytes of values after which no more are read; the first one is read in any case
Returns the join's size, 1 if its value is its one member's, and kind and data of each, nil for one that has not
joined; nothing where there is no such join.
]]
-- values that are read at once, should each be as large as may be
local FEW = 10
local flow, n = part(ARGV[1])
local meta = flow and redis.call('HGET', flow, 'j' .. n)
if not meta or meta == '' then
  return {}
end
local size, single = string.match(meta, '^(%d+) (%d)')
local found, budget = { tonumber(size), tonumber(single) }, tonumber(ARGV[4])
local at = tonumber(ARGV[2])
local last = math.min(at + tonumber(ARGV[3]), tonumber(size)) - 1
while at <= last and budget > 0 do
  local names = {}
  for number = at, math.min(at + FEW - 1, last) do
    names[#names + 1] = text(number)
  end
  for _, member in ipairs(redis.call('HMGET', P .. 'g:' .. ARGV[1], unpack(names))) do
    if budget > 0 then
      found[#found + 1] = member
      budget = budget - #(member or '')
    end
  end
  at = at + FEW
end
return found

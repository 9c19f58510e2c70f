--[[
log: read a task, what is remembered of its attempts, and a page of what its runs have told.
Uses ground, base, scope, reading
KEYS[1] prefix  of the namespace
ARGV[1] id      of the task
ARGV[2] after   number of the last entry that is known
ARGV[3] page    entries that are read at most
ARGV[4] budget  bytes of entries after which no more are read
Returns a row of get, its attempts as history does, entries, each: id, head, data; and 1 if there are more. Head:
attempt, losses, start, moment, and two more; the ids of values begin with v, those of progress with p. None
where there is no record.
]]
local CHUNK = 16
local id, page, budget = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local row = read(id)
if not row[1] then
  return {}
end
local tried = row[2] ~= '1' or (row[10] or '0') ~= '0' or row[1] == 'RETRY'
local before = tried and redis.call('LRANGE', P .. 'h:' .. id, 0, -1) or {}

-- Returns a function that returns the next entry of a stream, with its number, without taking it; and one that does.
local function reader(letter)
  local from, chunk, at = tonumber(ARGV[2]) + 1, {}, 1
  local function peek()
    if not chunk[at] then
      chunk, at = redis.call('XRANGE', P .. letter .. ':' .. id, '0-' .. text(from), '+', 'COUNT', CHUNK), 1
    end
    local entry = chunk[at]
    return entry, entry and tonumber(string.sub(entry[1], 3)) or math.huge
  end
  local function take()
    local entry, number = peek()
    at, from = at + 1, number + 1
    return entry
  end
  return peek, take
end

local peek_value, take_value = reader('e')
local peek_progress, take_progress = reader('y')
local entries, more = {}, 0
while true do
  local _, value = peek_value()
  local _, progress = peek_progress()
  if value == progress then
    break
  elseif #entries == page or budget <= 0 then
    more = 1
    break
  end
  local entry = value < progress and take_value() or take_progress()
  local kind = value < progress and 'v' or 'p'
  entries[#entries + 1] = { kind .. string.sub(entry[1], 3), entry[2][2], entry[2][4] }
  budget = budget - #entry[2][4]
end
return { row, before, entries, more }

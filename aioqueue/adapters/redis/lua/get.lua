--[[
get: read records that may be shown, as many as fit.
Uses base
KEYS[1] prefix  of the namespace
ARGV[1] budget  bytes of values after which no more are read; the first one is read in any case
ARGV[2] ids     of the tasks
Returns a list each, of those that were read: state, attempt, name, queue, sent, due, begun, finished, worker,
losses, value, error; empty for one that is unknown, hidden or past its time; ! and why, where it cannot be read.
]]
local budget = tonumber(ARGV[1])

local function read(id)
  local row = redis.pcall(
    'HMGET', record_key(id), 's', 'a', 'n', 'q', 'c', 'd', 'b', 'f', 'w', 'l', 'v', 'x', 'g', 'u'
  )
  if row.err then
    return { '!', row.err }
  end
  if not row[1] or row[13] or (row[14] and tonumber(row[14]) <= NOW) then
    return {}
  end
  if row[14] and not row[11] and not row[12] then
    local kept = redis.call('HMGET', P .. 'v:' .. id, 'v', 'x')
    row[11], row[12] = kept[1], kept[2]
  end
  return row
end

local rows = {}
for i = 2, #ARGV do
  if budget <= 0 then
    break
  end
  rows[#rows + 1] = read(ARGV[i])
  budget = budget - #(rows[#rows][11] or '') - #(rows[#rows][12] or '')
end
return rows

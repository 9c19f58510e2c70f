--[[
get: read records that may be shown, as many as fit; a node of a workflow that can start no more is CANCELLED.
Uses ground
Apart base, scope, reading
KEYS[1] prefix  of the namespace
ARGV[1] budget  bytes of values after which no more are read; the first one is read in any case
ARGV[2] ids     of the tasks
Returns a list each, of those that were read: state, attempt, name, queue, sent, due, begun, finished, worker,
losses, value, error, plan, joined; empty for one that is unknown, hidden or past its time; ! and why, where it cannot be read.
]]
local budget = tonumber(ARGV[1])
local rows = {}
for i = 2, #ARGV do
  if budget <= 0 then
    break
  end
  local id = ARGV[i]
  -- what is in no workflow, and may be shown as it is on record
  local row = not string.find(id, '.', 1, true) and redis.pcall(
    'HMGET', P .. 't:' .. id, 's', 'a', 'n', 'q', 'c', 'd', 'b', 'f', 'w', 'l', 'v', 'x', 'p', 'j', 'g', 'u'
  )
  if not row or row.err or not row[1] or row[15] or row[16] then
    row = apart.read(id)
  end
  rows[#rows + 1] = row
  budget = budget - #(row[11] or '') - #(row[12] or '')
end
return rows

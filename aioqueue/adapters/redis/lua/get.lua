--[[
get: read records that may be shown, as many as fit; a node of a workflow that can start no more is CANCELLED.
Uses base
Apart scope, reading
KEYS[1] prefix  of the namespace
ARGV[1] budget  bytes of values after which no more are read; the first one is read in any case
ARGV[2] ids     of the tasks
Returns a list each, of those that were read: state, attempt, name, queue, sent, due, begun, finished, worker,
losses, value, error, plan, joined; empty for one that is unknown, hidden or past its time; ! and why, where it cannot be read.
]]
local budget = tonumber(ARGV[1])

-- Reads what is in no workflow, and may be shown as it is on record; nil where it is another.
local function read_plain(id)
  local row = not part(id) and redis.pcall(
    'HMGET', record_key(id), 's', 'a', 'n', 'q', 'c', 'd', 'b', 'f', 'w', 'l', 'v', 'x', 'p', 'j', 'g', 'u'
  )
  return row and not row.err and row[1] and not row[15] and not row[16] and row or nil
end

local rows = {}
for i = 2, #ARGV do
  if budget <= 0 then
    break
  end
  rows[#rows + 1] = read_plain(ARGV[i]) or apart.read(ARGV[i])
  budget = budget - #(rows[#rows][11] or '') - #(rows[#rows][12] or '')
end
return rows

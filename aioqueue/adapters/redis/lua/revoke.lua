--[[
revoke: end tasks, nodes and whole workflows whose messages are in another store; what runs commits no more.
Uses base, acts, scope, joins, lasting, kept, answers, flow, cancel
KEYS[1] prefix  of the namespace
ARGV[1] ttl     milliseconds for which their records are shown
ARGV[2] again   1: the same call may have been made before; what it has cancelled is then cancelled by this one
ARGV[3] waiting 1: what runs is spared
ARGV[4] what    2 values each: id, and the error with which a workflow goes on
Returns a row each: CANCELLED, ALREADY_DONE, NOT_FOUND or RUNNING, and the messages that its workflow released, or has before,
a row each: id, name, queue, meta, body.
]]
local rows = {}
for at = 4, #ARGV, 2 do
  answered, ranges = {}, {}
  local outcome, key = cancel(ARGV[at], ARGV[at + 1], tonumber(ARGV[1]), ARGV[2] == '1', ARGV[3] == '1')
  if ranges[1] then
    note(key)
  else
    answer_noted(key)
  end
  rows[#rows + 1] = { outcome, answered }
end
return rows

--[[
cancel: end tasks, nodes and whole workflows whose messages are in this store; what runs commits no more.
Uses base, acts, entries, messages, scope, joins, lasting, kept, nodes, flow, cancel
KEYS[1] prefix  of the namespace
ARGV[1] ttl     milliseconds for which their records are shown
ARGV[2] again   1: the same call may have been made before; what it has cancelled is then cancelled by this one
ARGV[3] waiting 1: what runs is spared
ARGV[4] what    2 values each: id, and the error with which a workflow goes on
Returns a list of what has come of it: CANCELLED, ALREADY_DONE, NOT_FOUND or RUNNING.
]]
local answers = {}
for at = 4, #ARGV, 2 do
  answers[#answers + 1] = cancel(ARGV[at], ARGV[at + 1], tonumber(ARGV[1]), ARGV[2] == '1', ARGV[3] == '1')
end
return answers

--[[
workflow: read a workflow that was opened.
Uses ground
KEYS[1] prefix    of the namespace
ARGV[1] workflow  its id
Returns the record that is its outcome, and its outline; nothing where there is no such workflow.
]]
local found = redis.call('HMGET', P .. 'f:' .. ARGV[1], 'w', 'h')
return found[1] and { string.match(found[1], '(%S*)$'), found[2] } or {}

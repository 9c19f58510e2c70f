--[[
open: open a workflow whose messages are in another store.
Uses base, acts, scope, joins, lasting, kept, answers, flow
KEYS[1] prefix   of the namespace
ARGV[1] opening  as start takes it
ARGV[2] outline  how its nodes stand
Returns 1, or 0 if it was open before or is not kept; and the messages to be published, a row each: id, name, queue,
meta, body.
]]
local first = open_flow(read_opening(ARGV[1]), ARGV[2])
keep_moved()
return { first and 1 or 0, answered }

--[[
more: release some more nodes of a workflow whose messages are in another store.
Uses base, acts, scope, joins, lasting, kept, answers, flow
KEYS[1] prefix   of the namespace
ARGV[1] message  id of the one that stood for them
ARGV[2] first    number of their first node
ARGV[3] count    of the nodes
Returns the messages to be published, a row each: id, name, queue, meta, body.
]]
open_more(ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]))
keep_moved()
return answered

--[[
open: release nodes of a workflow whose messages are in another store, at its start or some more of them.
Uses base, scope, kept, answers, flow
KEYS[1] prefix    of the namespace
ARGV[1] workflow  its id
ARGV[2] first     number of their first node
ARGV[3] count     of the nodes
ARGV[4] message   id of the one that stood for them, '' at the start
ARGV[5] full      ids of joins that wait for nothing
Returns the messages to be published, a row each: id, name, queue, meta, body.
]]
local first, count = tonumber(ARGV[2]), tonumber(ARGV[3])
if ARGV[4] == '' then
  open_flow(ARGV[1], first, count, 5)
else
  open_more(ARGV[4], first, count)
end
return answered

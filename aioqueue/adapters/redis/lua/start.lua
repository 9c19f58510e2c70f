--[[
start: open a workflow whose messages are in this store. First it writes what needs memory, as a send does.
Uses base, messages, scope, kept, nodes, flow
KEYS[1] prefix    of the namespace
ARGV[1] workflow  its id
ARGV[2] first     number of its first node
ARGV[3] count     of the nodes that are released
ARGV[4] full      ids of joins that wait for nothing
Returns nothing.
]]
local first, count = tonumber(ARGV[2]), tonumber(ARGV[3])
open_flow(ARGV[1], first, count, 4)

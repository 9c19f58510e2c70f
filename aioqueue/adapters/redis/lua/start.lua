--[[
start: open a workflow whose messages are in this store. First it writes what needs memory, as a send does.
Uses base, acts, entries, messages, scope, joins, lasting, kept, nodes, flow
KEYS[1] prefix   of the namespace
ARGV[1] opening  workflow, root, result, first and count of its first nodes and the ms that is shown which no
                 node brings about, a line each; then, each after a space, the ids of joins that wait for nothing
ARGV[2] outline  how its nodes stand
Returns 1, or 0 if it was open before or is not kept.
]]
local first = open_flow(read_opening(ARGV[1]), ARGV[2])
keep_moved()
return first and 1 or 0

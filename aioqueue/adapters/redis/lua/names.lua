--[[
names: read the names of tasks.
Uses ground, base
KEYS[1] prefix  of the namespace
ARGV[1] ids     of the tasks
Returns a list of them, '' for each that has no record and is no part of a workflow.
]]
local names = {}
for i = 1, #ARGV do
  local flow, n = part(ARGV[i])
  local name = redis.call('HGET', record_key(ARGV[i]), 'n')
  local node = not name and flow and redis.call('HGET', flow, 'n' .. n)
  local join = not name and not node and flow and redis.call('HEXISTS', flow, 'j' .. n) == 1
  names[i] = name or node and string.match(node, '(%S+)$') or join and 'group' or ''
end
return names

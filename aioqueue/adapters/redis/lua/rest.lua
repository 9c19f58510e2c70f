--[[
rest: let go of more of what has joined in a workflow that is over, where that was too much for one step.
Uses base, acts, scope, joins, lasting
KEYS[1] prefix  of the namespace
Returns 1, or 0 where nothing was left.
]]
local workflow = redis.call('SPOP', P .. 'rest')
if workflow and redis.call('EXISTS', P .. 'f:' .. workflow) == 1 then
  moves(workflow, 0)
end
keep_moved()
return workflow and 1 or 0

--[[
tend: free the slots of scopes that nobody holds any more, as of consumers that died, and wake whoever could start.
Uses base, acts, entries, messages, promote, limits
KEYS[1] prefix  of the namespace
ARGV[1] scopes  their names
Returns the number of the first scope that is left for another call, as one makes a hundred ready at most; or 0.
]]
-- where there are more slots, each round looks at others
local LOOKED = 1000
local left = PROMOTED
for at, scope in ipairs(ARGV) do
  if left <= 0 then
    return at
  end
  local key = P .. 'slots:' .. scope
  for _, slot in ipairs(redis.call('SRANDMEMBER', key, LOOKED)) do
    free_slot(scope, string.match(slot, '^(%S+) (.*)$'))
  end
  keep(key, OPEN_TTL)
  left = left - wake(scope, left)
end
return 0

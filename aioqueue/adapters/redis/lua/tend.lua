--[[
tend: free the slots of scopes that nobody holds any more, as of consumers that died, and wake whoever could start.
Uses base, entries, messages, promote, limits
KEYS[1] prefix  of the namespace
ARGV[1] scopes  their names
Returns nothing.
]]
-- where there are more slots, each round looks at others
local LOOKED = 1000
for _, scope in ipairs(ARGV) do
  local key = P .. 'slots:' .. scope
  for _, slot in ipairs(redis.call('SRANDMEMBER', key, LOOKED)) do
    free_slot(scope, string.match(slot, '^(%S+) (.*)$'))
  end
  keep(key, OPEN_TTL)
  wake(scope, 100)
end

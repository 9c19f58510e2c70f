--[[
store_put: write a value of the shared map.
Uses base
KEYS[1] prefix    of the namespace
ARGV[1] key       its name
ARGV[2] value     bytes
ARGV[3] ttl       milliseconds to keep it, or 0
ARGV[4] want      any: whatever stands there; none: only where nothing does; same: only over ARGV[5]
ARGV[5] expected  value to be replaced
Returns 1, or 0 where what stands there is not what was wanted.
]]
local key = P .. 's:' .. ARGV[1]
local present = redis.call('GET', key)
if (ARGV[4] == 'none' and present) or (ARGV[4] == 'same' and present ~= ARGV[5]) then
  return 0
end
redis.call('SET', key, ARGV[2])
if ARGV[3] ~= '0' then
  redis.call('PEXPIRE', key, ARGV[3])
end
redis.call('ZADD', P .. 'store', 0, ARGV[1])
say('store:' .. ARGV[1], '')
return 1

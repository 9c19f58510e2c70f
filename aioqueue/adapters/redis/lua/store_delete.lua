--[[
store_delete: remove a value of the shared map.
Uses base
KEYS[1] prefix  of the namespace
ARGV[1] key     its name
Returns 1, or 0 if there was nothing.
]]
redis.call('ZREM', P .. 'store', ARGV[1])
say('store:' .. ARGV[1], '')
return redis.call('DEL', P .. 's:' .. ARGV[1])

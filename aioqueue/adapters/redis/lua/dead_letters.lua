--[[
dead_letters: read the newest dead letters, newest first.
Uses base
KEYS[1] prefix  of the namespace
ARGV[1] limit   most of them
Returns entry and fields of each.
]]
return redis.call('XREVRANGE', P .. 'dead', '+', '-', 'COUNT', ARGV[1])

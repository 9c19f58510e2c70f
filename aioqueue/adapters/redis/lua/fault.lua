--[[
fault: read the error with which a scope was closed.
Uses ground, base
KEYS[1] prefix  of the namespace
ARGV[1] scope   its id
Returns the error; nothing where none is kept.
]]
local flow, n = part(ARGV[1])
return { flow and redis.call('HGET', flow, 'y' .. n) or nil }

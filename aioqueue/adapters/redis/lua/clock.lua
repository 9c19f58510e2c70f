--[[
clock: tell the run of the server and its time.
Uses ground, base
KEYS[1] prefix  of the namespace
Returns the run's id, '' where it may not be asked for, and the moment it is now.
]]
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)')
return { run or '', text(NOW) }

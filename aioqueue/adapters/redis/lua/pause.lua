--[[
pause: hand out nothing more of a queue, or hand it out again and wake who waits for it.
Uses ground, base
KEYS[1] prefix  of the namespace
ARGV[1] queue   its name
ARGV[2] on      1: pause it; 0: resume it
ARGV[3] again   1: the same call may have been made before; what it has done is then done by this one
Returns 1, or 0 where it was so before.
]]
-- SREM first: it needs no memory
local was = redis.call('SREM', P .. 'paused', ARGV[1])
if ARGV[2] == '1' then
  redis.call('SADD', P .. 'queues', ARGV[1])
  redis.call('SADD', P .. 'paused', ARGV[1])
  was = 1 - was
else
  say('due:' .. ARGV[1], '')
end
return ARGV[3] == '1' and 1 or was

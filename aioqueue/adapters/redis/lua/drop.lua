--[[
drop: end a lease; whoever held it may be judged at once, however long it was.
Uses ground
KEYS[1] prefix  of the namespace
ARGV[1] owner   whose lease it is
Returns nothing.
]]
redis.call('DEL', P .. 'l:' .. ARGV[1])
local entered = redis.call('HGET', P .. 'consumers', ARGV[1])
if entered then
  redis.call('HSET', P .. 'consumers', ARGV[1], (string.gsub(entered, '^%d+', '0')))
end

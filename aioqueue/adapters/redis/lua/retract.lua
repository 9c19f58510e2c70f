--[[
retract: take back what a sender has kept of a workflow that is not open; when nobody is left who kept any, it goes.
Uses base, acts
KEYS[1] prefix    of the namespace
ARGV[1] workflow  its id
ARGV[2] keeper    who takes it back
Returns 1 if it is gone, else 0.
]]
local key = P .. 'f:' .. ARGV[1]
local f, mine = redis.call('HMGET', key, 'w', 's'), ' ' .. ARGV[2] .. ' '
local first, last = string.find(f[2] or '', mine, 1, true)
if f[1] or not first then
  return 0
end
local keepers = string.sub(f[2], 1, first) .. string.sub(f[2], last + 1)
if keepers == ' ' then
  redis.call('UNLINK', key)
  tell(ARGV[1])
  return 1
end
-- HDEL first: it needs no memory
redis.call('HDEL', key, 's')
redis.call('HSET', key, 's', keepers)
return 0

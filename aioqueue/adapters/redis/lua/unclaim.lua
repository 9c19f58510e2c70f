--[[
unclaim: take back an owner's claims, nothing counted.
Uses ground, base
KEYS[1] prefix  of the namespace
ARGV[1] owner   its name
ARGV[2] ids     of the tasks
Returns how many were taken back.
]]
local given = 0
for i = 2, #ARGV do
  local key = record_key(ARGV[i])
  local record = redis.call('HMGET', key, 's', 'a', 'o', 'p')
  if record[1] == 'STARTED' and record[3] == ARGV[1] and not record[4] then
    redis.call('HDEL', key, 'o', 'w', 'b')
    redis.call('HSET', key, 's', record[2] == '1' and 'PENDING' or 'RETRY')
    given = given + 1
  end
end
return given

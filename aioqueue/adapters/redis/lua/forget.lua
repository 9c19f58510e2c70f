--[[
forget: drop the records of ended tasks, of open ones as soon as they end; a commit record keeps no value.
Uses base, acts, scope
KEYS[1] prefix  of the namespace
ARGV[1] ids     of the tasks
Returns how many records there were.
]]
local found = 0
for i = 1, #ARGV do
  local key = record_key(ARGV[i])
  local record = redis.call('HMGET', key, 's', 'u')
  if record[1] then
    found = found + 1
    redis.call('DEL', P .. 'h:' .. ARGV[i])
    expire_log(ARGV[i], '0')
    if FINAL[record[1]] and not record[2] then
      redis.call('DEL', key)
    else
      redis.call('DEL', P .. 'v:' .. ARGV[i])
      if FINAL[record[1]] then
        redis.call('HDEL', key, 'v', 'x')
      end
      redis.call('HSET', key, 'g', '1')
    end
    tell(ARGV[i])
  elseif place_of(ARGV[i]) then
    local flow, n = part(ARGV[i])
    found = found + 1
    redis.call('HSET', flow, 'g' .. n, '1')
    tell(ARGV[i])
  end
end
return found

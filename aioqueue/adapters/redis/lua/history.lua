--[[
history: read the attempts of a task that have ended and were not the last.
Uses ground, base
KEYS[1] prefix  of the namespace
ARGV[1] id      of the task
Returns them as they are kept, oldest first; none where its record is hidden.
]]
local record = redis.call('HMGET', record_key(ARGV[1]), 's', 'g', 'u')
if not record[1] or record[2] or (record[3] and tonumber(record[3]) <= NOW) then
  return {}
end
return redis.call('LRANGE', P .. 'h:' .. ARGV[1], 0, -1)

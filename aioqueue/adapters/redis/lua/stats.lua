--[[
stats: count what queues hold.
Uses ground, base, count
KEYS[1] prefix  of the namespace
ARGV[1] queues  names; all known ones when none is given
Returns a row each: queue, ready, delayed, held, dead, 1 or 0 whether it is paused.
]]
local queues = {}
for i = 1, #ARGV do
  queues[i] = ARGV[i]
end
if #queues == 0 then
  queues = redis.call('SMEMBERS', P .. 'queues')
  table.sort(queues)
end
local rows = {}
for _, queue in ipairs(queues) do
  local ready, delayed, held = count(queue)
  local dead = tonumber(redis.call('HGET', P .. 'buried', queue) or '0')
  rows[#rows + 1] = { queue, ready, delayed, held, dead, redis.call('SISMEMBER', P .. 'paused', queue) }
end
return rows

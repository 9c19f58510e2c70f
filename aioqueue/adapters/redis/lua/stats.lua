--[[
stats: count what queues hold.
Uses base, count
KEYS[1] prefix  of the namespace
ARGV[1] queues  names; all known ones when none is given
Returns a row each: queue, ready, delayed, held, dead.
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
  rows[#rows + 1] = { queue, ready, delayed, held, tonumber(redis.call('HGET', P .. 'buried', queue) or '0') }
end
return rows

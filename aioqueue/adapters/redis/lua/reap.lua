--[[
reap: hand on some of what a consumer held, and forget it when it holds nothing.
Uses base, acts, entries, messages, scope, joins, lasting, kept, nodes, flow, unreadable, hand_on
KEYS[1] prefix    of the namespace
ARGV[1] consumer  its name
ARGV[2] why       lost: its lease is gone; dead: it is known to have died; left: it ends of its own, and
                  nothing is counted
Returns how many were handed on, at most 100: then it is called again. -1: its lease is alive.
]]
local consumer, why = ARGV[1], ARGV[2]
local lease = P .. 'l:' .. consumer
if why == 'lost' and redis.call('EXISTS', lease) == 1 then
  return -1
end
redis.call('DEL', lease)
local moved = hand_on_all(consumer, queues_of(consumer), 100, why ~= 'left')
if moved < 100 then
  redis.call('HDEL', P .. 'consumers', consumer)
end
return moved

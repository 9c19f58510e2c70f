--[[
gate: tell which deliveries may start now, by the limits of their tasks; the others are put off in this step.
Uses base, entries, messages, scope, joins, lasting, kept, nodes, flow, unreadable, hand_on, promote, limits
KEYS[1] prefix    of the namespace
ARGV[1] consumer  its name
ARGV[2] asks      each: receipt, id/attempt/hop, scope, slots or '', number of rates, then of each rate its name,
                  ms from one start to the next, and how many more may come at once
Returns a list of 1, or 0 for what is put off or not held.
]]
-- first what needs no memory, so that it is let through at maxmemory
redis.call('HDEL', P .. 'limits', '')
local me, answers, at = ARGV[1], {}, 2
while at <= #ARGV do
  local receipt, member, scope, most = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local rates = {}
  for i = 1, tonumber(ARGV[at + 4]) do
    local first = at + 2 + i * 3
    rates[i] = { name = ARGV[first], pace = tonumber(ARGV[first + 1]), burst = tonumber(ARGV[first + 2]) }
  end
  at = at + 5 + #rates * 3
  local lane, entry, queue = where(receipt)
  local held = holds(stream_key(queue, lane), entry, me)
  local till = held and ask(me, receipt, member, queue, scope, most, rates)
  if till and hand_on(lane, entry, queue, me, till - NOW, false, true) == 1 then
    -- what had to wait comes before what has not been looked at
    redis.call('HSET', P .. 'm:' .. member, 'r', '1')
  end
  answers[#answers + 1] = held and not till and 1 or 0
end
return answers

--[[
plan: keep some of a workflow; nothing of it runs before it is opened.
Uses base
KEYS[1] prefix  of the namespace
ARGV[1] counts  of nodes and joins
ARGV[2] parts   nodes, 6 values each: id, name, queue, meta, body, place. meta: attempt hop priority tracked eta
                delay sent, with eta and delay in ms, and both once more, for another store. place: join number
                scope. Joins, 5 values each: id, meta, into, frees, scope. meta: size single shown first count;
                into: join number. Scopes, 5 values each: id, fails, then, into, around. then: first count
Returns nothing.
]]
local EVER = 100000000000000
local nodes, joins = string.match(ARGV[1], '^(%d+) (%d+)$')
local joins_at = 2 + nodes * 6
local scopes_at = joins_at + joins * 5
local flow = part(ARGV[2])
local known = redis.call('HMGET', flow, 'e', 'd')
local latest, pauses = tonumber(known[1] or '0'), tonumber(known[2] or '0')

for at = 2, joins_at - 1, 6 do
  local id, meta = ARGV[at], ARGV[at + 3]
  local _, n = part(id)
  if redis.call('HSETNX', flow, 'p' .. n, ARGV[at + 5]) == 1 then
    redis.call('HSET', flow, 'n' .. n, meta .. ' ' .. ARGV[at + 2] .. ' ' .. ARGV[at + 1], 'b' .. n, ARGV[at + 4])
    local eta, delay = string.match(meta, '^%S+ %S+ %S+ %S+ (%S+) (%S+)')
    latest, pauses = math.max(latest, tonumber(eta)), math.min(EVER, pauses + tonumber(delay))
  end
end
for at = joins_at, scopes_at - 1, 5 do
  local _, n = part(ARGV[at])
  local join = table.concat({ ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4] }, '\n')
  -- one with a record has a place too: so it is seen until it has ended
  if redis.call('HSETNX', flow, 'j' .. n, join) == 1 and string.find(join, '^%d+ %d 1') then
    redis.call('HSET', flow, 'p' .. n, '  ' .. ARGV[at + 4])
  end
end
for at = scopes_at, #ARGV, 5 do
  local _, n = part(ARGV[at])
  local scope = table.concat({ ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4] }, '\n')
  redis.call('HSETNX', flow, 'x' .. n, scope)
end
-- what waits for something that is due later must be there by then
if latest > NOW or pauses > 0 then
  redis.call('HSET', flow, 'e', text(latest), 'd', text(pauses))
end
local left = math.min(EVER, math.max(0, latest - NOW) + pauses) + OPEN_TTL
if redis.call('PTTL', flow) < left and not redis.call('HGET', flow, 'u') then
  redis.call('PEXPIRE', flow, text(left))
end

--[[
limits: whose turn it is to start, and who has a slot; uses base, entries, messages, promote.
]]
local LATE, EARLY, PARKED = 1000, 1, 3600000

-- A slot is the consumer and the receipt it was admitted by, and is none any more once it does not hold that.
local function slot_of(consumer, receipt)
  return consumer .. ' ' .. receipt
end

local function keep(key, ms)
  redis.call('PEXPIRE', key, text(ms))
end

-- Drops at most a hundred of those that are missed by a second and more.
local function drop_missed(key)
  local missed = redis.call('ZRANGEBYSCORE', key, '-inf', text(NOW - 2 * LATE), 'LIMIT', 0, 100)
  if missed[1] then
    redis.call('ZREM', key, unpack(missed))
  end
end

-- Returns the first turn that is another's no more, or nil; it is taken.
local function freed_turn(paced)
  local free = P .. 'free:' .. paced
  if redis.call('EXISTS', free) == 0 then
    return nil
  end
  drop_missed(free)
  local first = redis.call('ZRANGEBYSCORE', free, text(NOW - LATE), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if first[1] then
    redis.call('ZREM', free, first[1])
  end
  return tonumber(first[2])
end

-- Returns the first moment at which all rates let one more start; it is taken. rates: name, pace and burst of each.
local function next_turn(scope, rates, paced)
  if #rates == 0 then
    return NOW
  end
  local freed = freed_turn(paced)
  if freed then
    return freed
  end
  local key, turn = P .. 'rates:' .. scope, NOW
  local marks, last = fields(redis.call('HGETALL', key)), NOW
  for _, rate in ipairs(rates) do
    turn = math.max(turn, tonumber(marks[rate.name] or '0') - rate.burst * rate.pace)
  end
  for _, rate in ipairs(rates) do
    local mark = math.max(tonumber(marks[rate.name] or '0'), turn) + rate.pace
    redis.call('HSET', key, rate.name, string.format('%.3f', mark))
    last = math.max(last, mark)
  end
  keep(key, math.ceil(last - NOW) + LATE)
  return turn
end

local function remember_scope(scope, most)
  redis.call('HSET', P .. 'limits', scope, text(most))
  keep(P .. 'limits', OPEN_TTL)
end

-- Returns nil where a message may start, else until when it is put off, and for what. most: slots, or nil. paced: names
-- of the rates, and the scope. It may ask again.
local function ask(consumer, receipt, member, queue, scope, most, rates, paced)
  local slots, parked, turns = P .. 'slots:' .. scope, P .. 'parked:' .. scope, P .. 'turns:' .. paced
  local slot = slot_of(consumer, receipt)
  if most and redis.call('SISMEMBER', slots, slot) == 1 then
    return nil
  end
  local turn = redis.call('ZSCORE', turns, member)
  redis.call('ZREM', turns, member)
  if most and redis.call('SCARD', slots) >= most then
    -- what is put off no more asks again, or is gone
    drop_missed(parked)
    -- in the order in which they were parked, also within a millisecond
    local last = redis.call('ZRANGE', parked, -1, -1, 'WITHSCORES')[2]
    local till = math.max(NOW + PARKED, tonumber(last or '0') + 1)
    redis.call('ZADD', parked, text(till), member .. '\n' .. queue)
    keep(parked, till - NOW + OPEN_TTL)
    remember_scope(scope, most)
    return till, 'p' .. scope
  end
  turn = turn and NOW - tonumber(turn) <= LATE and tonumber(turn) or next_turn(scope, rates, paced)
  if turn - NOW > EARLY then
    drop_missed(turns)
    redis.call('ZADD', turns, string.format('%.3f', turn), member)
    keep(turns, math.max(redis.call('PTTL', turns), math.ceil(turn - NOW) + 2 * LATE))
    return math.min(math.ceil(turn), NOW + PARKED), 't' .. paced
  end
  if most then
    redis.call('SADD', slots, slot)
    keep(slots, OPEN_TTL)
    remember_scope(scope, most)
  end
  return nil
end

-- Makes at most *most* of a scope ready that are parked, as slots are free, and looks at a hundred at most; forgets a scope
-- that has nothing. Returns how many it looked at.
local function wake(scope, most)
  local slots, parked = P .. 'slots:' .. scope, P .. 'parked:' .. scope
  local all = tonumber(redis.call('HGET', P .. 'limits', scope) or '0')
  local free = math.min(most, all - redis.call('SCARD', slots))
  local looked = 0
  while free > 0 and looked < PROMOTED do
    local first = redis.call('ZRANGE', parked, 0, 0, 'WITHSCORES')
    if not first[1] then
      break
    end
    redis.call('ZREM', parked, first[1])
    looked = looked + 1
    local member, queue = string.match(first[1], '^([^\n]+)\n(.*)$')
    local waiting = P .. 'd:' .. queue
    -- one that was given another moment waits for that
    if redis.call('ZSCORE', waiting, member) == first[2] then
      make_ready(waiting, member, queue)
      local key = record_key(string.match(member, '^(.*)/%d+/%d+$'))
      if redis.call('HEXISTS', key, 'd') == 1 then
        redis.call('HSET', key, 'd', NOW_TEXT)
      end
      free = free - 1
    end
  end
  if redis.call('EXISTS', slots, parked) == 0 then
    redis.call('HDEL', P .. 'limits', scope)
  end
  return looked
end

-- Forgets a slot whose consumer does not hold the message any more; tells whether it did.
local function free_slot(scope, consumer, receipt)
  local lane, entry, queue = where(receipt)
  if holds(stream_key(queue, lane), entry, consumer) then
    return false
  end
  return redis.call('SREM', P .. 'slots:' .. scope, slot_of(consumer, receipt)) == 1
end

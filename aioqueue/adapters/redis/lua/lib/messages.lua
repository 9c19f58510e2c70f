--[[
messages: puts messages where they wait; uses base, acts, entries.
]]

local function message_key(id, attempt, hop)
  return P .. 'm:' .. id .. '/' .. attempt .. '/' .. hop
end

local function due_of(m)
  return math.max(m.eta, NOW + m.delay)
end

local function moment_text(moment)
  return moment == NOW and NOW_TEXT or text(moment)
end

local listed = {}

-- Puts a message where it waits, in its own lane or another. Returns its receipt, '' while it is delayed.
local function place(m, lane)
  if not listed[m.queue] then
    redis.call('SADD', P .. 'queues', m.queue)
    listed[m.queue] = true
  end
  local due = due_of(m)
  if due > NOW then
    local key, waiting = message_key(m.id, m.attempt, m.hop), P .. 'd:' .. m.queue
    local member = m.id .. '/' .. m.attempt .. '/' .. m.hop
    redis.call('HSET', key, 'i', m.id, 'n', m.name, 'b', m.body, 'm', pack_meta(m))
    redis.call('PEXPIRE', key, text(due - NOW + OPEN_TTL))
    redis.call('ZADD', waiting, text(due), member)
    if redis.call('ZRANGE', waiting, 0, 0)[1] == member then
      say('due:' .. m.queue, text(due))
    end
    return ''
  end
  if tonumber(m.losses) >= SUSPECT then
    lane = 'suspect'
  elseif not lane then
    lane = m.priority
  end
  local entry = redis.call(
    'XADD', stream_key(m.queue, lane), '*', 'i', m.id, 'n', m.name, 'm', pack_meta(m), 'b', m.body
  )
  return receipt_of(lane, entry, m.queue)
end

-- Adds a message without a record; false if it is a copy of one that waits or is held.
local function publish(m)
  local key = message_key(m.id, m.attempt, m.hop)
  if redis.call('EXISTS', key) == 1 then
    return false
  end
  local record = redis.call('HMGET', record_key(m.id), 'e', 'a', 's')
  if record[1] and record[2] == m.attempt and not FINAL[record[3]] and m.hop == '0' then
    return false
  end
  m.marked = '1'
  place(m)
  redis.call('HSET', key, 'k', '1')
  redis.call('PEXPIRE', key, text(due_of(m) - NOW + OPEN_TTL))
  return true
end

-- Sends a new task, record and message; false if its id is known, unless it is this send, repeated.
local function submit(m, again)
  if m.tracked == '0' then
    return publish(m) or again
  end
  local key = record_key(m.id)
  if redis.call('EXISTS', key) == 1 then
    return again and redis.call('HGET', key, 'c') == m.sent
  end
  local due, receipt = due_of(m), place(m)
  local sent = m.sent == '0.0' and string.format('%.3f', NOW / 1000) or m.sent
  redis.call(
    'HSET', key, 's', 'PENDING', 'a', m.attempt, 'n', m.name, 'q', m.queue, 'c', sent, 'd', moment_text(due),
    'e', receipt
  )
  redis.call('PEXPIRE', key, due == NOW and WAIT_TEXT or text(due - NOW + OPEN_TTL + DAY))
  return true
end

-- Lets who asks next have the turn of a message that is gone. paced: rates and scope.
local function free_turn(paced, member)
  local turns, free = P .. 'turns:' .. paced, P .. 'free:' .. paced
  local turn, lives = redis.call('ZSCORE', turns, member), redis.call('PTTL', turns)
  if turn then
    redis.call('ZREM', turns, member)
    redis.call('ZADD', free, turn, member)
    redis.call('PEXPIRE', free, text(math.max(lives, redis.call('PTTL', free))))
  end
end

-- Forgets a delayed message, and that it waits for a slot or has a turn; tells whether it was there.
local function forget_delayed(queue, member)
  if redis.call('ZREM', P .. 'd:' .. queue, member) == 0 then
    return false
  end
  local kind, what = string.match(redis.call('HGET', P .. 'm:' .. member, 'r') or '', '^([tp])(.*)$')
  redis.call('DEL', P .. 'm:' .. member)
  if kind == 't' then
    free_turn(what, member)
  elseif kind == 'p' then
    redis.call('ZREM', P .. 'parked:' .. what, member .. '\n' .. queue)
  end
  return true
end

local function unmark(m)
  if m.marked == '1' then
    redis.call('DEL', message_key(m.id, m.attempt, m.hop))
  end
end

-- Writes a dead letter; the oldest one makes room.
local function bury(m, reason)
  redis.call(
    'XADD', P .. 'dead', '*', 'q', m.queue, 'i', m.id, 'n', m.name, 'a', m.attempt, 'r', reason, 'b', m.body,
    'p', m.priority
  )
  redis.call('HINCRBY', P .. 'buried', m.queue, 1)
  if redis.call('XLEN', P .. 'dead') > DEAD then
    drop_letters('+', 1)
  end
end

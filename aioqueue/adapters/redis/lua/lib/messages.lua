--[[
messages: puts messages where they wait; uses base.
]]

-- The meta of an entry: what the server needs to know of a message, beside id, name and body.
local function pack_meta(m)
  return table.concat({ m.attempt, m.hop, m.priority, m.tracked, m.losses, m.seen, m.marked, m.sent }, ' ')
end

-- What has been read of metas, as those of one send are alike; each stands behind the messages that have it.
local metas = {}

local function read_meta(meta)
  local m = { eta = 0, delay = 0 }
  m.attempt, m.hop, m.priority, m.tracked, m.losses, m.seen, m.marked, m.sent =
    string.match(meta, '^(%d+) (%d+) (%d) ([01]) (%d+) (%d+) ([01]) ([%d%.e+-]+)')
  metas[meta] = { __index = m }
  return metas[meta]
end

-- Returns the message that an entry's fields are, nil if they are none. A newer version may add to the meta.
local function unpack_entry(f, queue)
  local meta = f.m or ''
  local m = setmetatable({ id = f.i, name = f.n, body = f.b, queue = queue }, metas[meta] or read_meta(meta))
  return m.sent and m.id and m.name and m.body and m or nil
end

-- Stands for an entry that cannot be read.
local function unreadable(f, queue)
  return {
    id = f.i or '', name = f.n or '', body = f.b or '', queue = queue, attempt = '1', hop = '0', priority = '0',
    tracked = '0', losses = '0', seen = '0', marked = '0', sent = '0.0', eta = 0, delay = 0,
  }
end

-- Messages of arguments: id, name, queue, meta, body. Meta: attempt hop priority tracked eta delay sent.
local WIDTH = 5

local given = {}

local function read_given(meta)
  local m, eta, delay = { losses = '0', seen = '0', marked = '0' }, nil, nil
  m.attempt, m.hop, m.priority, m.tracked, eta, delay, m.sent =
    string.match(meta, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$')
  m.eta, m.delay = tonumber(eta), tonumber(delay)
  given[meta] = { __index = m }
  return given[meta]
end

local function read_message(at)
  local meta = ARGV[at + 3]
  return setmetatable(
    { id = ARGV[at], name = ARGV[at + 1], queue = ARGV[at + 2], body = ARGV[at + 4] }, given[meta] or read_given(meta)
  )
end

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

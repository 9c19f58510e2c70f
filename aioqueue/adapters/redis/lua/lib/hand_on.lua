--[[
hand_on: puts a held message back where it is taken from first; uses base, acts, entries, messages, unreadable.
]]

-- consumer: who holds it. delay: ms it is not handed out for. lost: its holder died with it. limited: it waits
-- for its turn, as if it had been sent with that.
-- Returns 1, or 0 where the entry is gone.
local function hand_on(lane, entry, queue, consumer, delay, lost, limited)
  local stream = stream_key(queue, lane)
  local f = entry_at(stream, entry)
  if not f then
    redis.call('XACK', stream, 'w', entry)
    return 0
  end
  local m = unpack_entry(f, queue)
  if not m then
    bury_unreadable(stream, entry, queue, f)
    return 0
  end
  m.delay = delay
  if delay > 0 and m.seen == '0' and not limited then
    m.seen = text(NOW)
  end
  local key, record = record_key(m.id), {}
  if m.tracked == '1' then
    record = redis.call('HMGET', key, 's', 'o', 'e', 'l')
  end
  local known = record[3] == receipt_of(lane, entry, queue)
  local mine = known and record[1] == 'STARTED' and record[2] == consumer
  local counted = lost and (mine or not record[1])
  m.losses = text(math.max(tonumber(m.losses), tonumber(record[4] or '0')) + (counted and 1 or 0))
  forget_entry(stream, entry)
  local receipt = place(m, 'again')
  if mine then
    if counted then
      remember(m.id, '', '', OPEN_TTL)
    end
    redis.call(
      'HSET', key, 's', m.attempt == '1' and 'PENDING' or 'RETRY', 'e', receipt, 'd', text(NOW + delay), 'l', m.losses
    )
    redis.call('HDEL', key, 'o', 'w', 'b')
  elseif known and (record[1] == 'PENDING' or record[1] == 'RETRY') then
    redis.call('HSET', key, 'e', receipt, 'd', text(NOW + delay))
  end
  if limited and record[1] and redis.call('PTTL', key) < delay + OPEN_TTL then
    -- it lasts past its turn, however far that is
    redis.call('PEXPIRE', key, text(delay + OPEN_TTL + DAY))
    redis.call('PEXPIRE', P .. 'h:' .. m.id, text(delay + OPEN_TTL + DAY))
    expire_log(m.id, text(delay + OPEN_TTL + DAY))
  end
  return 1
end

-- Hands on at most *limit* of what a consumer holds; what a blocking read holds for it has not begun.
-- Forgets the consumer where it holds nothing more. Returns how many were handed on.
local function hand_on_all(consumer, queues, limit, lost)
  local moved = 0
  for _, queue in ipairs(queues) do
    for _, lane in ipairs(LANES) do
      local stream = stream_key(queue, lane)
      for _, name in ipairs({ consumer, consumer .. '.wait' }) do
        local left = limit - moved
        local held = left > 0 and redis.pcall('XPENDING', stream, 'w', '-', '+', left, name) or { err = '' }
        if not held.err then
          for _, item in ipairs(held) do
            hand_on(lane, item[1], queue, name, 0, lost and name == consumer)
            moved = moved + 1
          end
          if #held < left then
            redis.call('XGROUP', 'DELCONSUMER', stream, 'w', name)
          end
        end
      end
    end
  end
  return moved
end

-- Returns the queues of a consumer.
local function queues_of(consumer)
  local queues = {}
  for line in string.gmatch(redis.call('HGET', P .. 'consumers', consumer) or '', '\n([^\n]+)') do
    queues[#queues + 1] = line
  end
  -- one that is not known any more may have read from any
  return queues[1] and queues or redis.call('SMEMBERS', P .. 'queues')
end

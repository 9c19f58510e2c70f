--[[
promote: makes ready what is due; uses base, entries, messages.
]]

-- Returns the lane of what had to wait for its turn or a slot: before all that came later, but where higher priorities
-- wait it comes after those, among its own.
local function lane_after(queue, priority)
  for lane = 9, tonumber(priority) + 1, -1 do
    local stream = stream_key(queue, lane)
    local all = redis.call('XLEN', stream)
    -- what is held has its entries too
    local held = all > 0 and redis.pcall('XPENDING', stream, 'w')
    if held and (held.err or held[1] < all) then
      return nil
    end
  end
  return 'again'
end

-- Puts a delayed message where it is ready.
local function make_ready(waiting, member, queue)
  -- ZREM first: it needs no memory
  redis.call('ZREM', waiting, member)
  local key = P .. 'm:' .. member
  local f = fields(redis.call('HGETALL', key))
  if f.b then
    local m = unpack_entry(f, queue) or unreadable(f, queue)
    redis.call('HDEL', key, 'i', 'n', 'b', 'm', 'r')
    local receipt = place(m, m.seen ~= '0' and 'again' or (f.r and lane_after(queue, m.priority)) or nil)
    local record = redis.call('HMGET', record_key(m.id), 'e', 's')
    if record[1] == '' and (record[2] == 'PENDING' or record[2] == 'RETRY') then
      redis.call('HSET', record_key(m.id), 'e', receipt)
    end
  end
end

-- Makes at most *most* ready. Returns the moment the next message of *queues* is due, '' if none is delayed, and how
-- many there were.
local function promote(queues, most)
  local left, next_due = most, ''
  for _, queue in ipairs(queues) do
    local waiting = P .. 'd:' .. queue
    local due = redis.call('ZRANGEBYSCORE', waiting, '-inf', text(NOW), 'LIMIT', 0, left)
    left = left - #due
    for _, member in ipairs(due) do
      make_ready(waiting, member, queue)
    end
    local first = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')
    if first[2] and (next_due == '' or tonumber(first[2]) < tonumber(next_due)) then
      next_due = first[2]
    end
  end
  return next_due, most - left
end

--[[
fetch: hand out messages and write that they have begun; a consumer whose lease has lapsed gets none.
Uses base, messages, scope, joins, lasting, kept, nodes, flow, unreadable, hand_on, promote
KEYS[1] prefix    of the namespace
ARGV[1] begins    1: records are here, write STARTED in them; 0: they are not
ARGV[2] consumer  its name
ARGV[3] worker    the name written into records
ARGV[4] limit     most deliveries
ARGV[5] look      1: a blocking read may have brought something, which <consumer>.wait holds
ARGV[6] audit     how many receipts follow, all that the consumer knows to hold, or -1: what it holds
                  beside them was lost on its way and is handed out again
ARGV[7] rest      those receipts, then the queues' names
Returns the moment it is now, 1 or 0 where the lease has lapsed, and a row a delivery: receipt, id, name, meta,
body, losses.
]]
local begins, me, worker, limit = ARGV[1] == '1', ARGV[2], ARGV[3], tonumber(ARGV[4])
local waiter, known_count = ARGV[2] .. '.wait', tonumber(ARGV[6])
local rows, queues, known = {}, {}, {}
for i = 7, #ARGV do
  if i < 7 + known_count then
    known[ARGV[i]] = true
  else
    queues[#queues + 1] = ARGV[i]
  end
end

if redis.call('EXISTS', P .. 'l:' .. me) == 0 then
  return { text(NOW), 0, {} }
end

local function superseded(record, m, receipt)
  if not record[1] then
    return false
  end
  local attempt, current = tonumber(m.attempt), tonumber(record[2])
  -- one that went on as a workflow runs no more
  if FINAL[record[1]] or current > attempt or record[5] then
    return true
  end
  -- another copy of this attempt, unless that one is gone
  if current == attempt and record[3] and record[3] ~= '' and record[3] ~= receipt then
    local lane, entry, queue = where(record[3])
    return #redis.call('XRANGE', stream_key(queue, lane), entry, entry) == 1
  end
  return false
end

-- Writes STARTED. Returns the losses on record, or nil if the message is to be forgotten.
local function begin(m, receipt)
  local key = record_key(m.id)
  local record = redis.call('HMGET', key, 's', 'a', 'e', 'l', 'p')
  if superseded(record, m, receipt) then
    return nil
  end
  local place = place_of(m.id)
  if place and stopped(place) then
    bar(m.id)
    return nil
  elseif place then
    renew(m.id, place, NOW)
  end
  if record[1] then
    redis.call('HSET', key, 's', 'STARTED', 'a', m.attempt, 'o', me, 'w', worker, 'b', text(NOW), 'e', receipt)
  else
    redis.call(
      'HSET', key, 's', 'STARTED', 'a', m.attempt, 'o', me, 'w', worker, 'b', text(NOW), 'e', receipt,
      'n', m.name, 'q', m.queue, 'c', m.sent, 'l', m.losses
    )
  end
  redis.call('PEXPIRE', key, text(OPEN_TTL))
  return record[1] and (record[4] or '0') or m.losses
end

local function take(lane, entry, queue, f)
  local m, receipt = unpack_entry(f, queue), receipt_of(lane, entry, queue)
  if not m then
    bury_unreadable(stream_key(queue, lane), entry, queue, f)
    return
  end
  local losses = m.losses
  if begins and m.tracked == '1' then
    losses = begin(m, receipt)
    if not losses then
      forget_entry(stream_key(queue, lane), entry)
      unmark(m)
      return
    end
  end
  rows[#rows + 1] = { receipt, m.id, m.name, f.m, m.body, losses }
end

-- Tells whether a suspect is held.
local function holds_suspect()
  for _, queue in ipairs(queues) do
    local stream = stream_key(queue, 'suspect')
    if redis.call('XLEN', stream) > 0 then
      local held = redis.pcall('XPENDING', stream, 'w', '-', '+', 1, me)
      if not held.err and held[1] then
        return true
      end
    end
  end
  return false
end

local suspected = holds_suspect()

-- Takes what is held already, but unknown here: by the blocking read, or by the consumer itself.
local function take_held(queue, lane, name, most)
  local stream = stream_key(queue, lane)
  local held = redis.pcall('XPENDING', stream, 'w', '-', '+', most, name)
  for _, item in ipairs(held.err and {} or held) do
    local entry = item[1]
    if not known[receipt_of(lane, entry, queue)] then
      local f = entry_at(stream, entry)
      if not f then
        redis.call('XACK', stream, 'w', entry)
      elseif #rows < limit and not (name == waiter and lane == 'suspect' and suspected) then
        redis.call('XCLAIM', stream, 'w', me, 0, entry, 'JUSTID')
        suspected = suspected or lane == 'suspect'
        take(lane, entry, queue, f)
      elseif name == waiter then
        hand_on(lane, entry, queue, name, 0, false)
      end
    end
  end
end

-- Reads at most *count* new entries and takes them; returns how many there were.
local function take_new(queue, lane, count)
  local stream = stream_key(queue, lane)
  local reply = redis.pcall('XREADGROUP', 'GROUP', 'w', me, 'COUNT', count, 'STREAMS', stream, '>')
  if reply and reply.err then
    make_group(stream)
    reply = redis.call('XREADGROUP', 'GROUP', 'w', me, 'COUNT', count, 'STREAMS', stream, '>')
  end
  local entries = reply and reply[1][2] or {}
  for _, entry in ipairs(entries) do
    take(lane, entry[1], queue, fields(entry[2]))
  end
  return #entries
end

local function take_suspect(queue)
  while not suspected and #rows < limit and redis.call('XLEN', stream_key(queue, 'suspect')) > 0 do
    local before = #rows
    local found = take_new(queue, 'suspect', 1)
    suspected = #rows > before
    if found == 0 then
      return
    end
  end
end

local function take_ready(queue, lane)
  while #rows < limit and redis.call('XLEN', stream_key(queue, lane)) > 0 do
    local count = limit - #rows
    if take_new(queue, lane, count) < count then
      return
    end
  end
end

local _, promoted = promote(queues, math.min(limit, PROMOTED / 2))
if promoted > 0 then
  -- both together are no more than a promotion alone
  limit = math.min(limit, PROMOTED - promoted)
end
for _, lane in ipairs(LANES) do
  for _, queue in ipairs(queues) do
    if ARGV[5] == '1' then
      take_held(queue, lane, waiter, 100)
    end
    if known_count >= 0 then
      take_held(queue, lane, me, known_count + 100)
    end
  end
end
for _, lane in ipairs(LANES) do
  for _, queue in ipairs(queues) do
    if lane == 'suspect' then
      take_suspect(queue)
    else
      take_ready(queue, lane)
    end
  end
end
return { text(NOW), 1, rows }

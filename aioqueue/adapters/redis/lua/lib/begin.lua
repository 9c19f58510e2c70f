--[[
begin: writes that attempts have begun, of what may begin; uses base, entries. flow: the functions of scope, lasting and
joins, which few need.
]]

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

-- Returns the record of a message's task and its place in a workflow, or nil if the message is to be forgotten.
local function fit(m, receipt, flow)
  local record = redis.call('HMGET', record_key(m.id), 's', 'a', 'e', 'l', 'p')
  if superseded(record, m, receipt) then
    return nil
  end
  local place = part(m.id) and flow.place_of(m.id)
  if place and flow.stopped(place) then
    flow.bar(m.id, 0, 0)
    flow.keep_moved()
    return nil
  end
  return record, place
end

-- Writes STARTED in a record that is fit, for a consumer; returns the losses on record.
local function begin(m, receipt, record, place, flow, consumer, worker)
  local key = record_key(m.id)
  if place then
    flow.renew(m.id, place, NOW)
  end
  if record[2] == m.attempt and record[3] == receipt then
    redis.call('HSET', key, 's', 'STARTED', 'o', consumer, 'w', worker, 'b', NOW_TEXT)
  elseif record[1] then
    redis.call(
      'HSET', key, 's', 'STARTED', 'a', m.attempt, 'o', consumer, 'w', worker, 'b', NOW_TEXT, 'e', receipt
    )
  else
    redis.call(
      'HSET', key, 's', 'STARTED', 'a', m.attempt, 'o', consumer, 'w', worker, 'b', NOW_TEXT, 'e', receipt,
      'n', m.name, 'q', m.queue, 'c', m.sent, 'l', m.losses
    )
  end
  if record[1] ~= 'PENDING' or m.attempt ~= '1' or NOW - tonumber(m.sent) * 1000 > DAY then
    redis.call('PEXPIRE', key, OPEN_TEXT)
  end
  return record[1] and (record[4] or '0') or m.losses
end

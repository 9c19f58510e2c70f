--[[
cancel: ends tasks, nodes and whole workflows that have not ended; uses base, scope, flow, and nodes or answers.
]]

-- Returns what has come of a cancel of what has ended. again: the same call may have been made before.
local function done(cancelled, again)
  return cancelled and again and 'CANCELLED' or 'ALREADY_DONE'
end

-- Tells whether a task, a node or a join has ended, or will not. plan: what runs in its place.
local function has_ended(state, plan, place)
  if state == 'STARTED' and not plan then
    return called_off(place)
  end
  return FINAL[state] or not (state or place) or stopped(place)
end

-- Closes all of a workflow, if it is open; what runs in it ends no more.
local function call_off(workflow, error, keep)
  local key = P .. 'f:' .. workflow
  local root = string.match(redis.call('HGET', key, 'w') or '', '^(%S+) ')
  local s = root and scope_at(root)
  if s then
    local _, n = part(root)
    s.cancelled = text(NOW)
    redis.call('HSET', key, 'a' .. n, s.cancelled)
    if closed(root) then
      -- all around has failed: only what runs is ended by it
      tell(workflow)
    end
    fail('', root, error, keep, true)
  end
end

local function cancel_whole(id, error, keep, again)
  local key = P .. 'f:' .. id
  local root, result = string.match(redis.call('HGET', key, 'w') or '', '^(%S+) (%S+)$')
  if not root then
    return 'NOT_FOUND', key
  end
  local record, s = redis.call('HMGET', record_key(result), 's', 'p'), scope_at(root)
  if not s or s.cancelled or has_ended(record[1], record[2], place_of(result)) then
    return done(s and s.cancelled, again), key
  end
  -- HDEL first, though of nothing: it needs no memory
  redis.call('HDEL', key, 'z')
  call_off(id, error, keep)
  keep_moved(keep)
  return 'CANCELLED', key
end

-- Returns how long a record is kept, ms, whose message may come yet.
local function until_late(due, ttl)
  return math.max(ttl, CANCELLED, (tonumber(due) or 0) - NOW + CANCELLED)
end

-- Returns what has come of it, and the key with which is kept what that released. error: of what was cancelled, for
-- workflows. ttl: ms for which a record is shown. again: the same call may have been made before.
local function cancel(id, error, ttl, again)
  local key, keep = record_key(id), math.max(ttl, SHOWN)
  local record = redis.call('HMGET', key, 's', 'a', 'e', 'q', 'd', 'p', 'g', 'u')
  local state, place = record[1], place_of(id)
  local flow, n = part(id)
  local f = place and redis.call('HMGET', flow, 'n' .. n, 'g' .. n) or {}
  if record[7] or f[2] or (record[8] and tonumber(record[8]) <= NOW) or not (state or place) then
    return cancel_whole(id, error, keep, again)
  end
  if has_ended(state, record[6], place) then
    return done(state == 'CANCELLED', again), key
  end
  local waits = state == 'PENDING' or state == 'RETRY'
  local withdrawn = waits and withdraw(id, record[4], tonumber(record[2] or '1'), record[3])
  decide(id, 'CANCELLED', ttl, nil, until_late(waits and not withdrawn and record[5], ttl))
  if record[6] then
    call_off(record[6], error, keep)
  end
  if f[1] then
    fail(id, scope_of(place), error, keep)
  end
  keep_moved(keep)
  return 'CANCELLED', key
end

--[[
cancel: ends tasks, nodes and whole workflows that have not ended; uses base, acts, scope, flow, and nodes or answers.
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
  return FINAL[state] or not (state or place) or stopped(place) or (not state and uncalled(scope_of(place)))
end

local looked = 0

-- Ends nodes of a cancelled whole that wait and whose messages are here, and those in whose place nothing runs any
-- more: a page of them at most; others are barred when they come up. keep: ms they are shown.
local function bar_some(workflow, keep)
  write_ended()
  for _, n in ipairs(redis.call('SRANDMEMBER', P .. 'o:' .. workflow, PAGE)) do
    local id = workflow .. '.' .. n
    local place = looked < PAGE and place_of(id)
    if stopped(place) then
      looked = looked + 1
      local record = redis.call('HMGET', record_key(id), 's', 'q', 'a', 'e', 'p')
      if record[5] then
        bar_some(record[5], keep)
        write_ended()
        if redis.call('SCARD', P .. 'o:' .. record[5]) == 0 then
          bar(id, keep, LATE)
        end
      elseif record[1] ~= 'STARTED' and withdraw(id, record[2], tonumber(record[3] or '1'), record[4]) then
        bar(id, keep, LATE)
      end
    end
  end
end

-- Closes a scope, if it is open; what runs in it ends no more.
local function stop(s, error, keep)
  local key, n = part(s.id)
  s.cancelled = text(NOW)
  moves(s.workflow, keep)
  redis.call('HSET', key, 'a' .. n, s.cancelled)
  if closed(s.id) then
    -- all around has failed: only what runs is ended by it
    tell(s.workflow)
  end
  fail('', s.id, error, keep, true)
  bar_some(s.workflow, keep)
end

-- Closes all of a workflow, if it is open.
local function call_off(workflow, error, keep)
  local root = string.match(redis.call('HGET', P .. 'f:' .. workflow, 'w') or '', '^(%S+) ')
  local s = root and scope_at(root)
  if s then
    stop(s, error, keep)
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
  put_early(keep)
  keep_moved()
  return 'CANCELLED', key
end

-- Returns what has come of it, and the key with which is kept what that released. error: of what was cancelled, for
-- workflows. ttl: ms for which a record is shown. again: the same call may have been made before. waiting: what
-- runs is spared.
local function cancel(id, error, ttl, again, waiting)
  local key = record_key(id)
  local record = redis.call('HMGET', key, 's', 'p', 'g', 'u', 'o', 'q', 'a', 'e')
  local state, place = record[1], place_of(id)
  local flow, n = part(id)
  local f = place and redis.call('HMGET', flow, 'n' .. n, 'g' .. n) or {}
  if record[3] or f[2] or (record[4] and tonumber(record[4]) <= NOW) or not (state or place) then
    return cancel_whole(id, error, ttl, again)
  end
  local lives = state == 'STARTED' and (record[2] or redis.call('EXISTS', P .. 'l:' .. (record[5] or '')) == 1)
  if has_ended(state, record[2], place) then
    if waiting and not FINAL[state] and not lives and stopped(place) then
      -- nothing was written of it yet, and its message is about to go
      withdraw(id, record[6] or '', tonumber(record[7] or '1'), record[8])
      bar(id, ttl, LATE)
      keep_moved()
    end
    return done(state == 'CANCELLED', again), key
  elseif waiting and lives then
    return 'RUNNING', key
  end
  decide(id, 'CANCELLED', ttl, nil, CANCELLED)
  if record[2] then
    call_off(record[2], error, ttl)
  end
  local s = place and not f[1] and scope_at(scope_of(place))
  if f[1] then
    fail(id, scope_of(place), error, ttl)
  elseif s and s.fails == id and s.first ~= '' then
    -- a group with all that is in it
    stop(s, error, ttl)
  end
  put_early(ttl)
  keep_moved()
  return 'CANCELLED', key
end

--[[
scope: tells which nodes of workflows can start no more, and how long workflows are kept; uses base.
]]
local CANCELLED = 86400000
local DAY = 86400000
local SHOWN = 3600000

-- Returns the moment a scope, or one around it, was closed, or nil.
local function closed(scope)
  while scope and scope ~= '' do
    local key, n = part(scope)
    local x = key and redis.call('HMGET', key, 'c' .. n, 'x' .. n) or {}
    if x[1] then
      return x[1]
    end
    scope = x[2] and string.match(x[2], '[^\n]*$')
  end
  return nil
end

-- Returns the place of a node or a join that has not ended, or nil.
local function place_of(id)
  local key, n = part(id)
  local place = key and redis.call('HGET', key, 'p' .. n)
  return place and place ~= '' and place or nil
end

-- Returns the moment the scope of a place was closed, or nil.
local function stopped(place)
  return place and closed(string.match(place, '^%S* %d* (%S*)'))
end

-- Keeps a key for that long, ms, and a day more, so that it is seldom written; returns whether it was.
local function extend(key, left)
  if redis.call('PTTL', key) >= left then
    return false
  end
  redis.call('PEXPIRE', key, text(left + DAY))
  return true
end

-- Keeps a workflow as long as it may move on, or what it came to is shown. shown: ms.
local function keep_flow(key, workflow, shown)
  local moment = math.max(NOW + shown, tonumber(redis.call('HGET', key, 'u') or '0'))
  redis.call('HSET', key, 'u', text(moment))
  if redis.call('SCARD', P .. 'o:' .. workflow) > 0 then
    extend(key, OPEN_TTL)
    extend(P .. 'o:' .. workflow, OPEN_TTL)
  else
    redis.call('PEXPIRE', key, text(moment - NOW))
  end
end

-- Writes that a node has ended.
local function leave(id)
  local key, n, workflow = part(id)
  redis.call('HDEL', key, 'n' .. n, 'b' .. n)
  redis.call('SREM', P .. 'o:' .. workflow, n)
  redis.call('HSET', key, 'p' .. n, '')
end

-- Ends a node that can start no more, and tells it; its record stays for a late copy of its message.
local function cancel(id)
  local key, n, workflow = part(id)
  local record, f = record_key(id), redis.call('HGET', key, 'n' .. n)
  leave(id)
  if redis.call('EXISTS', record) == 0 and f then
    local queue, name = string.match(f, '(%S+) (%S+)$')
    redis.call('HSET', record, 'n', name, 'q', queue)
  end
  redis.call('HDEL', record, 'o')
  redis.call('HSET', record, 's', 'CANCELLED', 'f', text(NOW))
  redis.call('PEXPIRE', record, text(CANCELLED))
  keep_flow(key, workflow, SHOWN)
  tell(id)
end

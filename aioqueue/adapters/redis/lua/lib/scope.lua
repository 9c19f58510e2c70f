--[[
scope: tells which nodes of workflows can start or end no more; uses base.
]]
local CANCELLED = 86400000
-- place of a node that has ended and was not released
local NEVER = '.'

-- Places of nodes that have ended, a workflow each: they are written together.
local ended, ended_count = {}, 0

local scopes = {}

-- Returns a scope as it stands, read once in a script; nil if there is none.
local function scope_at(id)
  if scopes[id] == nil then
    local key, n, workflow = part(id)
    local f = key and redis.call('HMGET', key, 'x' .. n, 'c' .. n, 'a' .. n) or {}
    local s = f[1] and { id = id, workflow = workflow, closed = f[2], cancelled = f[3] }
    if s then
      s.fails, s.range, s.into, s.number, s.task, s.around, s.first, s.hangs =
        string.match(f[1], '^(%S*)\n(.-)\n(%S*) (%d*)\n(%S*)\n(%S*)\n(%d*) (%S*)$')
    end
    scopes[id] = s or false
  end
  return scopes[id] or nil
end

-- Returns when a scope, or the first one around it that was, was closed or cancelled, as *what* says; or nil. Around
-- a workflow that runs in place of a node is the scope of that one.
local function moment_around(scope, what)
  local s = scope_at(scope)
  while s and not s[what] do
    s = scope_at(s.around)
  end
  return s and s[what]
end

-- Returns the moment a scope, or one around it, was closed, or nil.
local function closed(scope)
  return moment_around(scope, 'closed')
end

-- what has been read of places, or is to be written
local places = {}

-- Reads the places of many nodes at once.
local function read_places(ids)
  local asked, numbers = {}, {}
  for _, id in ipairs(ids) do
    local key, n = part(id)
    if key and not asked[key] then
      asked[key], numbers[key] = {}, {}
    end
    if key then
      table.insert(asked[key], id)
      table.insert(numbers[key], 'p' .. n)
    end
  end
  for key, of in pairs(asked) do
    for at, place in ipairs(redis.call('HMGET', key, unpack(numbers[key]))) do
      places[of[at]] = place
    end
  end
end

-- Returns the place of a node or a join that has not ended, or nil.
local function place_of(id)
  local key, n = part(id)
  local place = places[id]
  if place == nil then
    place = key and redis.call('HGET', key, 'p' .. n)
  end
  return place and place ~= '' and place ~= NEVER and place or nil
end

local function scope_of(place)
  return string.match(place, '^%S* %d* (%S*)')
end

-- Returns from when on a scope can be called no more, or nil: it can, was, or stands in what was.
local function uncalled(scope)
  local s = scope_at(scope)
  while s and scope_at(s.around) do
    s = scope_at(s.around)
  end
  local key, n = part(s and s.hangs or '')
  local caller = key and scope_at(s.hangs)
  if caller then
    if caller.closed then
      return nil
    end
    if caller.first == '' then
      -- with nothing inside it, nothing fails in it
      return text(NOW)
    end
    local moment = closed(s.hangs) or uncalled(s.hangs)
    local flow, m = part(caller.fails)
    local waits = not moment and flow and redis.call('HEXISTS', flow, 'p' .. m) == 1
    local over = (waits and not place_of(caller.fails)) or (flow and redis.call('HGET', flow, 'f' .. m) == '1')
    return moment or (over and (redis.call('HGET', record_key(caller.fails), 'f') or text(NOW))) or nil
  elseif key then
    local f = redis.call('HMGET', key, 'j' .. n, 'f' .. n)
    -- one of nobody is full from the start, and what hangs on it is released by what reaches it
    local waits = f[1] and (not f[2] or string.find(f[1], '^0 '))
    local around = waits and string.match(f[1], '^.-\n%S* %d*\n%S*\n(%S*)\n')
    return around and (closed(around) or uncalled(around)) or nil
  end
  return nil
end

-- Returns the moment the scope of a place was closed, or nil.
local function stopped(place)
  return place and closed(scope_of(place))
end

-- Returns the moment all was cancelled that a place is part of, or nil: what runs there ends no more.
local function called_off(place)
  return place and moment_around(scope_of(place), 'cancelled')
end

-- for how long keys live, ms, as far as a script knows; and what it has renewed
local lives, renewed = {}, {}

-- Keeps a key for that long, ms, and a day more, so that it is seldom written; returns whether it was.
local function extend(key, left)
  if (lives[key] or 0) >= left then
    return false
  end
  local lived = redis.call('PTTL', key)
  if lived >= left then
    lives[key] = lived
    return false
  end
  if redis.call('PEXPIRE', key, text(left + DAY)) == 1 then
    lives[key] = left + DAY
  end
  return true
end

-- Forgets how long a key lives, as it may live no more.
local function unsure(key)
  lives[key] = nil
  renewed = {}
end

-- Keeps a key for that long, ms, and no longer.
local function expire(key, left)
  redis.call('PEXPIRE', key, text(left))
  unsure(key)
end

local ENDED_MOST = 1000

-- Writes the places of nodes that have ended. What reads more of them than their places does so first.
local function write_ended()
  for workflow, places in pairs(ended) do
    local key, released = P .. 'f:' .. workflow, P .. 'o:' .. workflow
    local gone, numbers, written = {}, {}, {}
    for n, place in pairs(places) do
      numbers[#numbers + 1] = n
      written[#written + 1] = 'p' .. n
      written[#written + 1] = place
      gone[#gone + 1] = 'b' .. n
      gone[#gone + 1] = place == '' and 'n' .. n or nil
    end
    redis.call('HDEL', key, unpack(gone))
    redis.call('SREM', released, unpack(numbers))
    unsure(released)
    redis.call('HSET', key, unpack(written))
  end
  ended, ended_count = {}, 0
end

-- Notes the place of a node that has ended.
local function note_ended(id, place)
  local _, n, workflow = part(id)
  ended[workflow] = ended[workflow] or {}
  ended[workflow][n] = place
  places[id] = place
  ended_count = ended_count + 1
  if ended_count == ENDED_MOST then
    write_ended()
  end
end

--[[
plan: keep some of a workflow; nothing of it runs before it is opened.
Uses ground, base, scope
KEYS[1] prefix  of the namespace
ARGV[1] counts  of nodes and joins, and the digest and who keeps it, if any
ARGV[2] parts   nodes, 7 values each: id, name, queue, meta, body, place, queues. meta: attempt hop priority tracked
                eta delay sent, with eta and delay in ms, and both once more, for another store. place: join number
                scope; queues: those of its range, where it is the last of a long one. Joins, 6 values each: id,
                meta, into, frees, scope, task. meta: size single shown first count; into: join number. Scopes, 7 values each: id, fails, then, into, task, around, inside.
                then: first count; inside: the first node and, after a space, what calls all of it
Returns the ids of nodes that are not kept, as there is a task of that id which is none of this workflow; or that of
the first part, where there is a workflow of another digest.
]]
local EVER = 100000000000000
local nodes, joins, digest, keeper = string.match(ARGV[1], '^(%d+) (%d+) (%S*) (%S*)$')
local joins_at = 2 + nodes * 7
local scopes_at = joins_at + joins * 6
local flow = part(ARGV[2])
if redis.call('EXISTS', flow) == 1 and (redis.call('HGET', flow, 'i') or '') ~= digest then
  return { ARGV[2] }
end

-- Returns which fields of the workflow are there: *letter* and the number of every seventh argument of a range.
local function kept_of(letter, first, last)
  local names, kept = {}, {}
  for at = first, last, 7 do
    names[#names + 1] = letter .. select(2, part(ARGV[at]))
  end
  for i, value in ipairs(names[1] and redis.call('HMGET', flow, unpack(names)) or {}) do
    kept[names[i]] = value
  end
  return kept
end

-- Tells whether any node has a record: mostly none has.
local function any_record()
  local keys = {}
  for at = 2, joins_at - 1, 7 do
    keys[#keys + 1] = record_key(ARGV[at])
  end
  return keys[1] and redis.call('EXISTS', unpack(keys)) > 0
end

local places = kept_of('p', 2, joins_at - 1)

-- Returns the ids of tasks of their own, and of those that have ended and are hidden; a node that is kept is neither.
local function others()
  local foreign, hidden = {}, {}
  for at = 2, any_record() and joins_at - 1 or 0, 7 do
    local id = ARGV[at]
    local _, n = part(id)
    local record = redis.call('HMGET', record_key(id), 's', 'g', 'u')
    if record[1] and not places['p' .. n] then
      local ended = FINAL[record[1]] and (record[2] or (record[3] and tonumber(record[3]) <= NOW))
      if ended then
        hidden[#hidden + 1] = id
      else
        foreign[#foreign + 1], foreign[id] = id, true
      end
    end
  end
  return foreign, hidden
end

local foreign, hidden = others()
local added = {}

local function add(field, value)
  added[#added + 1] = field
  added[#added + 1] = value
end

local known = redis.call('HMGET', flow, 'e', 'd')
local latest, pauses = tonumber(known[1] or '0'), tonumber(known[2] or '0')

for at = 2, joins_at - 1, 7 do
  local id, meta = ARGV[at], ARGV[at + 3]
  local _, n = part(id)
  if not (foreign[id] or places['p' .. n]) then
    add('p' .. n, ARGV[at + 5])
    add('n' .. n, meta .. ' ' .. ARGV[at + 2] .. ' ' .. ARGV[at + 1])
    add('b' .. n, ARGV[at + 4])
    if ARGV[at + 6] ~= '' then
      add('q' .. n, ARGV[at + 6])
    end
    local eta, delay = string.match(meta, '^%S+ %S+ %S+ %S+ (%S+) (%S+)')
    latest, pauses = math.max(latest, tonumber(eta)), math.min(EVER, pauses + tonumber(delay))
  end
end
if added[1] then
  redis.call('HSET', flow, unpack(added))
end
for at = joins_at, scopes_at - 1, 6 do
  local _, n = part(ARGV[at])
  local join = table.concat({ ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5] }, '\n')
  -- one with a record has a place too: so it is seen until it has ended
  if redis.call('HSETNX', flow, 'j' .. n, join) == 1 and string.find(join, '^%d+ %d 1') then
    redis.call('HSET', flow, 'p' .. n, '  ' .. ARGV[at + 4])
  end
end
for at = scopes_at, #ARGV, 7 do
  local _, n = part(ARGV[at])
  local task, around = ARGV[at + 4], ARGV[at + 5]
  if task ~= '' then
    -- around a workflow that runs in place of a node is the scope of that one
    local place = place_of(task)
    around = place and scope_of(place) or ''
    redis.call('HSET', flow, 't', task)
  end
  local scope = table.concat({ ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], task, around, ARGV[at + 6] }, '\n')
  redis.call('HSETNX', flow, 'x' .. n, scope)
end
if digest ~= '' then
  local f = redis.call('HMGET', flow, 'w', 's')
  local keepers = f[2] or ' '
  if not f[1] and not string.find(keepers, ' ' .. keeper .. ' ', 1, true) then
    keepers = keepers .. keeper .. ' '
  end
  redis.call('HSET', flow, 'i', digest, 's', keepers)
end
-- last, as they free memory, and a plan is refused at maxmemory
for _, id in ipairs(hidden) do
  redis.call('DEL', record_key(id), P .. 'v:' .. id)
end
-- what waits for something that is due later must be there by then
if latest > NOW or pauses > 0 then
  redis.call('HSET', flow, 'e', text(latest), 'd', text(pauses))
end
local left = math.min(EVER, math.max(0, latest - NOW) + pauses) + OPEN_TTL
if redis.call('PTTL', flow) < left and not redis.call('HGET', flow, 'u') then
  redis.call('PEXPIRE', flow, text(left))
end
return foreign

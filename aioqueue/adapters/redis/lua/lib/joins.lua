--[[
joins: keeps what has joined, and what a node that waits or runs will need; uses base, scope.
]]
local PAGE = 200
-- most joins of one workflow that a script keeps, or lets go of: upkeep does so with more of them
local MANY = 2000

local joins = {}

-- Returns a join, read once in a script, or nil if there is none or nobody may join any more.
local function join_at(id)
  local j = joins[id]
  if j == nil then
    local key, n = part(id)
    local f = key and redis.call('HMGET', key, 'j' .. n, 'f' .. n) or {}
    j = f[1] and f[1] ~= '' and not f[2] and { id = id }
    if j then
      j.meta, j.into, j.number, j.frees, j.scope, j.task =
        string.match(f[1], '^(.-)\n(%S*) (%d*)\n(%S*)\n(%S*)\n(%S*)$')
      j.size, j.shown = string.match(j.meta, '^(%d+) %d (%d)')
      j.size = tonumber(j.size)
    end
    joins[id] = j or false
  end
  return j and not closed(j.scope) and j or nil
end

-- Returns a join and those that are read through it alone, many of them at most. Among them are those of workflows that
-- ran in place of its members.
local function within(join)
  local found, at = { join }, 1
  while found[at] and #found < MANY do
    local key, n = part(found[at])
    for number in string.gmatch(key and redis.call('HGET', key, 'k' .. n) or '', '%d+') do
      local inner = string.match(redis.call('HGET', P .. 'g:' .. found[at], number) or '', '^j(.*)')
      local inner_key, m = part(inner or '')
      local j = inner_key and redis.call('HGET', inner_key, 'j' .. m)
      if j and (inner_key ~= key or string.find(j, '^%d+ %d 0 %d+ 0\n')) then
        found[#found + 1] = inner
      end
    end
    at = at + 1
  end
  return found
end

-- Notes that a member of a join is another one, of many at most.
local function note_inner(join, number)
  local key, n = part(join)
  local known = redis.call('HGET', key, 'k' .. n) or ''
  if select(2, string.gsub(known, ' ', '')) < MANY then
    redis.call('HSET', key, 'k' .. n, known .. ' ' .. number)
  end
end

-- Keeps the values of a join for that long, ms.
local function keep_values(join, keep)
  local own = part(join)
  for _, id in ipairs(within(join)) do
    local key = part(id)
    expire(P .. 'g:' .. id, keep)
    if key ~= own then
      extend(key, keep)
    end
  end
end

local tasks = {}

-- Returns the task in whose place the workflow of an id runs, if that is open; read once in a script.
local function task_around(id)
  local key = part(id)
  if key and tasks[key] == nil then
    local task = redis.call('HGET', key, 't')
    tasks[key] = task and redis.call('HGET', record_key(task), 's') == 'STARTED' and task or false
  end
  return key and tasks[key] or nil
end

-- Keeps a workflow past the moment a node of it is due, with all that has joined where that one belongs, and the
-- workflows around it.
local function renew(id, place, due)
  local left = math.max(0, due - NOW) + OPEN_TTL
  while place do
    local key, _, workflow = part(id)
    local join, takes = string.match(place, '^(%S*) %d* %S* ?(%S*)$')
    local same = workflow .. ' ' .. join .. ' ' .. takes
    if (renewed[same] or 0) >= left then
      return
    end
    renewed[same] = left
    extend(key, left)
    extend(P .. 'o:' .. workflow, left)
    extend(P .. 'i:' .. workflow, left)
    if takes ~= '' and extend(P .. 'g:' .. takes, left) then
      keep_values(takes, left + DAY)
    end
    while join ~= '' do
      local j = join_at(join)
      if j and extend(P .. 'g:' .. join, left) then
        keep_values(join, left + DAY)
      end
      join = j and j.into or ''
    end
    id = task_around(id)
    place = id and place_of(id)
    if id then
      extend(record_key(id), left)
    end
  end
end

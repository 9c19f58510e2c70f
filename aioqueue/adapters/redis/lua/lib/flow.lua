--[[
flow: moves workflows on, as aioqueue/advance.py does; uses base, scope, kept, and nodes or answers.
]]

-- Returns a join and those that are read through it alone, a page of them at most: more of them lapse by themselves.
local function within(join)
  local found, at = { join }, 1
  while found[at] and #found < PAGE do
    local key, n = part(found[at])
    local nested = key and redis.call('HGET', key, 'k' .. n)
    local members = nested and redis.call('HSCAN', P .. 'g:' .. found[at], '0', 'COUNT', PAGE)[2] or {}
    for i = 2, #members, 2 do
      local inner = string.match(members[i], '^j(.*)')
      local inner_key, m = part(inner or '')
      local j = inner_key and redis.call('HGET', inner_key, 'j' .. m)
      if j and string.find(j, '^%d+ %d 0 %d+ 0\n') then
        found[#found + 1] = inner
      end
    end
    at = at + 1
  end
  return found
end

-- Keeps the values of a join for a last while, ms.
local function let_go(join, keep)
  for _, id in ipairs(within(join)) do
    redis.call('PEXPIRE', P .. 'g:' .. id, text(keep))
  end
end

-- Drops the values of a join.
local function free(join)
  for _, id in ipairs(within(join)) do
    local key, n = part(id)
    redis.call('UNLINK', P .. 'g:' .. id)
    if key and redis.call('HEXISTS', key, 'j' .. n) == 1 then
      redis.call('HSET', key, 'j' .. n, '')
    end
  end
end

-- Lets a record read what its part of a workflow came to, unless it is final.
local function decide(id, state, keep, error)
  local key, n = part(id)
  local record = redis.call('HMGET', record_key(id), 's', 'g')
  local f = key and redis.call('HMGET', key, 'p' .. n, 'n' .. n, 'g' .. n) or {}
  if FINAL[record[1]] or not (record[1] or (f[1] and f[1] ~= '')) then
    return
  end
  leave(id)
  if not record[1] then
    local queue, name = string.match(f[2] or '', '(%S+) (%S+)$')
    redis.call('HSET', record_key(id), 'n', name or 'group', 'q', queue or '')
  end
  redis.call('HSET', record_key(id), 's', state, 'f', text(NOW))
  if record[2] or f[3] then
    redis.call('HSET', record_key(id), 'g', '1')
  elseif error then
    redis.call('HSET', record_key(id), 'x', error)
  end
  redis.call('PEXPIRE', record_key(id), text(keep))
  tell(id)
end

-- Releases a range of nodes; 'first count'.
local function release_range(owner, range)
  local first, count = string.match(range, '(%d+) (%d+)$')
  if tonumber(count) > 0 then
    release(owner, tonumber(first), tonumber(count))
  end
end

-- Returns a join, or nil if there is none or nobody may join any more.
local function join_at(id)
  local key, n = part(id)
  local f = key and redis.call('HMGET', key, 'j' .. n, 'f' .. n) or {}
  if not f[1] or f[1] == '' or f[2] then
    return nil
  end
  local j = { id = id }
  j.meta, j.into, j.number, j.frees, j.scope = string.match(f[1], '^(.-)\n(%S*) (%d*)\n(%S*)\n(%S*)$')
  j.size, j.shown = string.match(j.meta, '^(%d+) %d (%d)')
  return not closed(j.scope) and j or nil
end

-- Keeps a workflow past the moment a node of it is due, with all that has joined where that one belongs.
local function renew(id, place, due)
  local key, _, workflow = part(id)
  local left = math.max(0, due - NOW) + OPEN_TTL
  extend(key, left)
  extend(P .. 'o:' .. workflow, left)
  local join, takes = string.match(place, '^(%S*) %d* %S* ?(%S*)$')
  if takes ~= '' and extend(P .. 'g:' .. takes, left) then
    let_go(takes, left + DAY)
  end
  while join ~= '' do
    local j = join_at(join)
    if j and extend(P .. 'g:' .. join, left) then
      let_go(join, left + DAY)
    end
    join = j and j.into or ''
  end
end

-- Does what is to be done when a join is full.
local function fill(j, keep)
  local key, n = part(j.id)
  redis.call('HSET', key, 'f' .. n, '1')
  if j.frees ~= '' then
    free(j.frees)
  end
  if j.shown == '1' then
    decide(j.id, 'SUCCESS', keep)
  end
  release_range(j.id, j.meta)
  if j.into == '' and string.find(j.meta, ' 0$') then
    let_go(j.id, keep)
  end
end

-- Puts a member where it belongs, and moves on as far as that goes.
local function put_member(into, number, member, keep)
  while into ~= '' do
    local j, members = join_at(into), P .. 'g:' .. into
    if not j or redis.call('HSETNX', members, number, member) == 0 then
      return
    end
    if string.find(member, '^j') then
      local key, n = part(into)
      redis.call('HSET', key, 'k' .. n, '1')
    end
    extend(members, OPEN_TTL)
    if redis.call('HLEN', members) < tonumber(j.size) then
      return
    end
    fill(j, keep)
    into, number, member = j.into, j.number, 'j' .. j.id
  end
end

-- Closes a scope and those around it, up to one that takes the error as a value. id: of the node that failed.
local function fail(id, scope, error, keep)
  local told = false
  while scope ~= '' do
    local key, n, workflow = part(scope)
    local x = key and redis.call('HGET', key, 'x' .. n)
    if not x or closed(scope) then
      return
    end
    local fails, range, into, number, around = string.match(x, '^(%S*)\n(.-)\n(%S*) (%d*)\n(%S*)$')
    redis.call('HSET', key, 'c' .. n, text(NOW))
    if fails ~= id and not told then
      -- who waits for a node that can start no more
      tell(workflow)
      told = true
    end
    if fails ~= '' then
      decide(fails, 'FAILURE', keep, error)
    end
    release_range(scope, range)
    if into ~= '' then
      put_member(into, number, 'e' .. error, keep)
      return
    end
    scope = around
  end
end

-- Moves on from a node that has ended. data: its value or error. ttl: of its record, ms.
local function move_on(id, place, state, data, ttl)
  local into, number, scope, takes = string.match(place, '^(%S*) (%d*) (%S*) ?(%S*)$')
  local keep = math.max(ttl, SHOWN)
  local key, _, workflow = part(id)
  leave(id)
  if takes ~= '' then
    let_go(takes, keep)
  end
  if state == 'SUCCESS' then
    put_member(into, number, 'v' .. data, keep)
  else
    fail(id, scope, data, keep)
  end
  keep_flow(key, workflow, keep)
end

-- Opens a workflow: what waits for nothing is full, and its first nodes are released. full: index of the first id.
local function open_flow(workflow, first, count, full)
  local key = P .. 'f:' .. workflow
  if redis.call('EXISTS', key) == 0 then
    return
  end
  for i = full, #ARGV do
    local j = join_at(ARGV[i])
    if j then
      fill(j, SHOWN)
      put_member(j.into, j.number, 'j' .. j.id, SHOWN)
    end
  end
  if count > 0 then
    release(workflow .. '.0', first, count)
  end
  keep_flow(key, workflow, SHOWN)
end

-- Releases more of a workflow, where the message *id* stood for that.
local function open_more(id, first, count)
  local workflow = string.match(id, '^(.*)%.open%.%d+$')
  local key = P .. 'f:' .. (workflow or '')
  if not workflow or redis.call('EXISTS', key) == 0 then
    return
  end
  redis.call('SREM', P .. 'o:' .. workflow, id)
  if count > 0 then
    release(workflow .. '.0', first, count)
  end
  keep_flow(key, workflow, SHOWN)
end

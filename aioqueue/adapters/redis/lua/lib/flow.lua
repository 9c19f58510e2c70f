--[[
flow: moves workflows on, as aioqueue/advance.py does; uses base, acts, scope, joins, lasting, kept, and nodes or
answers.
]]

-- Lets a record read what a workflow came to, unless it is final; tells whether it was not. what: its value v, join j
-- or error x, if any. keep: ms it is shown. least: ms it is kept; one whose message may come yet is kept past that.
local function decide(id, state, keep, what, least)
  local key, n, workflow = part(id)
  local record = redis.call('HMGET', record_key(id), 's', 'g', 'p', 'q', 'a', 'e', 'd', 'k', 'i')
  local f = key and redis.call('HMGET', key, 'p' .. n, 'n' .. n, 'g' .. n) or {}
  if FINAL[record[1]] or not (record[1] or (f[1] and f[1] ~= '' and f[1] ~= NEVER)) then
    return false
  end
  -- HDEL first: it needs no memory
  redis.call('HDEL', record_key(id), 'v', 'x', 'u')
  if record[8] then
    free_key(record[8], id)
  end
  local waits = record[1] == 'PENDING' or record[1] == 'RETRY'
  if waits and not withdraw(id, record[4], tonumber(record[5] or '1'), record[6]) then
    least = math.max(least or 0, tonumber(record[7] or '0') - NOW + CANCELLED)
  elseif record[1] == 'STARTED' and not record[3] then
    -- whoever runs it must not end it
    least = math.max(least or 0, CANCELLED)
  end
  if not record[3] then
    -- who let a task go on may say so again
    redis.call('HDEL', record_key(id), 'o', 'r', 'y', 'z')
  end
  if f[1] then
    leave(id, f[2] and not record[1])
    moves(workflow, keep)
  end
  if not record[1] then
    local queue, name = string.match(f[2] or '', '(%S+) (%S+)$')
    redis.call('HSET', record_key(id), 'n', name or 'group', 'q', queue or '')
  end
  redis.call('HSET', record_key(id), 's', state, 'f', text(NOW))
  -- a join has no message
  local kept = math.max(keep, least or 0, f[1] and not f[2] and 0 or LATE)
  local holder = kept > keep and P .. 'v:' .. id or record_key(id)
  if kept > keep then
    redis.call('HSET', record_key(id), 'u', text(NOW + keep))
  end
  if record[2] or f[3] then
    redis.call('HSET', record_key(id), 'g', '1')
  elseif what then
    redis.call('HSET', holder, what[1], what[2])
    redis.call('PEXPIRE', holder, text(keep))
  end
  redis.call('PEXPIRE', record_key(id), text(kept))
  if record[1] == 'RETRY' or (record[5] or '1') ~= '1' then
    redis.call('PEXPIRE', P .. 'h:' .. id, text(keep))
  end
  if record[9] then
    expire_log(id, text(record[2] and 0 or keep))
  end
  tell(id)
  return true
end

-- Releases a range of nodes; 'first count'.
local function release_range(owner, range)
  local first, count = string.match(range, '(%d+) (%d+)$')
  if tonumber(count) > 0 then
    release(owner, tonumber(first), tonumber(count))
  end
end

-- Lets a task that went on as a workflow succeed with its one member; returns join and number it is put into then.
local function succeed_task(j, member, keep)
  local into, number = string.match(place_of(j.task) or ' ', '^(%S*) (%d*)')
  local kind, data = string.sub(member, 1, 1), string.sub(member, 2)
  if not decide(j.task, 'SUCCESS', keep, { kind, data }) then
    return '', ''
  end
  if kind == 'j' and into ~= '' then
    local key, reader = part(j.id), select(3, part(into))
    redis.call('HSET', key, 'k', data)
    redis.call('SADD', P .. 'i:' .. reader, '+' .. data)
    extend(P .. 'i:' .. reader, OPEN_TTL)
  elseif kind == 'j' and string.find(j.meta, ' 0$') then
    let_go(data, keep)
  end
  return into, number
end

-- Does what is to be done when a join is full.
local function fill(j, keep)
  local key, n, workflow = part(j.id)
  redis.call('HSET', key, 'f' .. n, '1')
  joins[j.id] = false
  moves(workflow, keep)
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
    -- what a task has come to is read by others than its own workflow
    if j.task == '' and string.find(member, '^j') then
      note_inner(into, number)
    end
    j.count = j.count and j.count + 1 or redis.call('HLEN', members)
    extend(members, OPEN_TTL)
    if j.count == 1 then
      local _, n, workflow = part(into)
      redis.call('SADD', P .. 'i:' .. workflow, n)
      extend(P .. 'i:' .. workflow, OPEN_TTL)
    end
    if j.count < j.size then
      return
    end
    fill(j, keep)
    if j.task == '' then
      into, number, member = j.into, j.number, 'j' .. j.id
    else
      into, number = succeed_task(j, member, keep)
    end
  end
end

-- Tells whether the first node inside a scope was released, or none is.
local function begun(s)
  write_ended()
  local place = redis.call('HGET', P .. 'f:' .. s.workflow, 'p' .. s.first)
  if not place or place == '' or place == NEVER then
    return place ~= NEVER
  end
  return redis.call('EXISTS', record_key(s.workflow .. '.' .. s.first)) == 1
end

-- Puts the errors of what was closed before its turn, which has come.
local function put_early(keep)
  while early[1] do
    local s = scope_at(table.remove(early))
    if s then
      local key, n = part(s.id)
      put_member(s.into, s.number, 'e' .. (redis.call('HGET', key, 'y' .. n) or ''), keep)
    end
  end
end

-- Lets a task that went on as a workflow fail; returns the scope that closes then.
local function fail_task(task, error, keep)
  local place = place_of(task)
  return decide(task, 'FAILURE', keep, { 'x', error }) and place and scope_of(place) or ''
end

-- Closes a scope and those around it, up to one that takes the error as a value. id: of the node that failed.
-- cancelled: the first one is the root of a whole that is cancelled.
local function fail(id, scope, error, keep, cancelled)
  local told = {}
  while scope ~= '' do
    local s, key, n = scope_at(scope), part(scope)
    if not s or closed(scope) then
      return
    end
    s.closed = text(NOW)
    redis.call('HSET', key, 'c' .. n, s.closed)
    moves(s.workflow, keep)
    if s.fails ~= id and not told[s.workflow] then
      -- who waits for a node that can start no more
      tell(s.workflow)
      told[s.workflow] = true
    end
    if s.fails ~= '' then
      decide(s.fails, cancelled and 'CANCELLED' or 'FAILURE', keep, { 'x', error })
    end
    if not string.find(s.range, ' 0$') then
      redis.call('HSET', key, 'y' .. n, error)
      release_range(scope, s.range)
    end
    if s.into ~= '' and not begun(s) then
      redis.call('HSET', key, 'y' .. n, error, 'y' .. s.first, scope)
      return
    elseif s.into ~= '' then
      put_member(s.into, s.number, 'e' .. error, keep)
      return
    end
    scope = s.task == '' and s.around or fail_task(s.task, error, keep)
    cancelled = false
  end
end

-- Moves on from a node that has ended. data: its value or error. keep: ms that it is shown, and what it brings about.
-- Workflows that have moved are to be kept afterwards, as of all that opens or cancels any.
local function move_on(id, place, state, data, keep)
  local into, number, scope, takes = string.match(place, '^(%S*) (%d*) (%S*) ?(%S*)$')
  leave(id)
  moves(select(3, part(id)), keep)
  if takes ~= '' then
    let_go(takes, keep)
  end
  if state == 'SUCCESS' then
    put_member(into, number, 'v' .. data, keep)
  else
    fail(id, scope, data, keep)
  end
  put_early(keep)
end

-- Returns what is said of an opening, a line each: workflow, root, result, first and count of its first nodes, and the ms
-- that is shown which no node brings about; then the ids of joins that are full, each after a space.
local function read_opening(said)
  local o = {}
  o.workflow, o.root, o.result, o.first, o.count, o.ttl, o.full =
    string.match(said, '^(%S*)\n(%S*)\n(%S*)\n(%d+) (%d+) (%d+)(.*)$')
  return o
end

-- Opens a workflow: what waits for nothing is full, and its first nodes are released. Tells whether it was not open.
local function open_flow(o, outline)
  local key = P .. 'f:' .. o.workflow
  if redis.call('EXISTS', key) == 0 then
    return false
  end
  local first = redis.call('HSETNX', key, 'w', o.root .. ' ' .. o.result) == 1
  if first then
    redis.call('HSET', key, 'h', outline)
  end
  local keep = first and o.full ~= '' and tonumber(o.ttl) or 0
  moves(o.workflow, keep)
  for id in string.gmatch(o.full, '%S+') do
    local j = join_at(id)
    if j then
      fill(j, keep)
      put_member(j.into, j.number, 'j' .. j.id, keep)
    end
  end
  if tonumber(o.count) > 0 then
    release(o.workflow .. '.0', tonumber(o.first), tonumber(o.count))
  end
  put_early(keep)
  return first
end

-- Drops a workflow that is kept and will not be opened: the task that was to go on as it has ended.
local function discard(workflow)
  local key = P .. 'f:' .. workflow
  if redis.call('HEXISTS', key, 'w') == 0 then
    redis.call('UNLINK', key)
  end
end

-- Releases more of a workflow, where the message *id* stood for that.
local function open_more(id, first, count)
  local workflow = string.match(id, '^(.*)%.open%.[%d.]+$')
  local key = P .. 'f:' .. (workflow or '')
  if not workflow or redis.call('EXISTS', key) == 0 then
    return
  end
  redis.call('SREM', P .. 'o:' .. workflow, id)
  unsure(P .. 'o:' .. workflow)
  moves(workflow, 0)
  if count > 0 then
    release(workflow .. '.0', first, count)
  end
  put_early(0)
end

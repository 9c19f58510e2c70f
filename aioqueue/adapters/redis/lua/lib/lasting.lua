--[[
lasting: ends nodes, and keeps workflows and what has joined as long as they move or are read; uses base, acts, scope,
joins.
]]
local let_go, leave_to_itself
-- ms that a record is kept for a late copy of its message
local LATE

local moved = {}

-- Returns for how long, ms, any of a workflow is shown yet, as was written before and as it has moved since.
local function shown_yet(key, workflow)
  return math.max(moved[workflow] or 0, tonumber(redis.call('HGET', key, 'u') or '0') - NOW)
end

-- Keeps a workflow as long as it may move on, is read by the one around it, or any of it is shown, and then lets go of
-- what has joined, many joins at most; the rest is for upkeep. shown: ms that what has ended now is. Returns how long
-- it is kept then, or nil in the first case.
local function keep_flow(key, workflow, shown)
  write_ended()
  local f, joined = redis.call('HMGET', key, 'u', 'k', 't'), P .. 'i:' .. workflow
  local moment = math.max(NOW + math.max(shown, moved[workflow] or 0), tonumber(f[1] or '0'))
  redis.call('HSET', key, 'u', text(moment))
  if redis.call('SCARD', P .. 'o:' .. workflow) > 0 then
    extend(key, OPEN_TTL)
    extend(P .. 'o:' .. workflow, OPEN_TTL)
    extend(joined, OPEN_TTL)
    return nil
  elseif f[2] then
    extend(key, OPEN_TTL)
    extend(joined, OPEN_TTL)
    return OPEN_TTL
  end
  local around, _, outer = part(f[3] or '')
  -- that it never ran, or was stopped, is to be seen as long as what is around it
  local left = math.max(moment - NOW, around and shown_yet(around, outer) or 0)
  for _, n in ipairs(redis.call('SPOP', joined, MANY)) do
    local read = string.match(n, '^%+(.*)')
    if read then
      leave_to_itself(read, left)
    else
      let_go(workflow .. '.' .. n, left)
    end
  end
  local stays = left
  if redis.call('SCARD', joined) > 0 then
    stays = math.max(left, DAY)
    redis.call('SADD', P .. 'rest', workflow)
    extend(P .. 'rest', OPEN_TTL)
  end
  expire(key, stays)
  expire(joined, stays)
  return left
end

-- Writes that the values of a join are kept no longer than its workflow.
local function settle(id)
  local _, n, workflow = part(id)
  redis.call('SREM', P .. 'i:' .. workflow, n)
  unsure(P .. 'i:' .. workflow)
end

-- Keeps the values of a join that workflows have read around those that came to it, and those, for a last while, ms. It
-- is what each has come to that runs in place of a node of the next.
function leave_to_itself(id, keep)
  local key, _, workflow = part(id)
  while key and redis.call('HGET', key, 'k') == id do
    redis.call('HDEL', key, 'k')
    local task = redis.call('HGET', key, 't')
    local left = keep_flow(key, workflow, keep)
    if left and part(id) == key then
      expire(P .. 'g:' .. id, left)
      settle(id)
    end
    key, _, workflow = part(task or '')
  end
  if key then
    -- there it was read
    redis.call('SREM', P .. 'i:' .. workflow, '+' .. id)
    unsure(P .. 'i:' .. workflow)
  end
end

-- Keeps the values of a join for a last while: that long, ms, and as any of its workflow is shown.
function let_go(join, keep)
  local own, _, workflow = part(join)
  keep = math.max(keep, shown_yet(own, workflow))
  for _, id in ipairs(within(join)) do
    if part(id) == own then
      expire(P .. 'g:' .. id, keep)
      settle(id)
    else
      leave_to_itself(id, keep)
    end
  end
end

-- Drops the values of a join; what is shown of other workflows stays as long.
local function free(join)
  local own = part(join)
  for _, id in ipairs(within(join)) do
    local key, n = part(id)
    if key ~= own then
      leave_to_itself(id, 0)
    else
      redis.call('UNLINK', P .. 'g:' .. id)
      unsure(P .. 'g:' .. id)
      settle(id)
      if key and redis.call('HEXISTS', key, 'j' .. n) == 1 then
        redis.call('HSET', key, 'j' .. n, '')
      end
      joins[id] = false
    end
  end
end

-- Notes that a workflow has moved. shown: ms that what has ended by it is.
local function moves(workflow, shown)
  moved[workflow] = math.max(moved[workflow] or 0, shown)
end

-- Writes that a node has ended. never: it was not released.
local function leave(id, never)
  note_ended(id, never and NEVER or '')
  moves(select(3, part(id)), 0)
end

-- Returns the same of a workflow or of the one around it, which may be what stops it.
local function shown_around(key, workflow)
  local around, _, outer = part(redis.call('HGET', key, 't') or '')
  return math.max(shown_yet(key, workflow), around and shown_yet(around, outer) or 0)
end

-- Ends a node that can start no more, and tells it. keep: ms it is shown at least. late: ms its record stays for a late
-- copy of its message.
local function bar(id, keep, late)
  local key, n, workflow = part(id)
  local record, f = record_key(id), redis.call('HGET', key, 'n' .. n)
  leave(id)
  if redis.call('EXISTS', record) == 0 and f then
    local queue, name = string.match(f, '(%S+) (%S+)$')
    redis.call('HSET', record, 'n', name, 'q', queue)
  end
  redis.call('HDEL', record, 'o')
  keep = math.max(keep, shown_around(key, workflow))
  redis.call('HSET', record, 's', 'CANCELLED', 'f', text(NOW), 'u', text(NOW + keep))
  redis.call('PEXPIRE', record, text(math.max(keep, late)))
  redis.call('PEXPIRE', P .. 'h:' .. id, text(math.max(keep, late)))
  if redis.call('HEXISTS', record, 'i') == 1 then
    expire_log(id, text(keep))
  end
  tell(id)
end

-- Ends tasks in whose place workflows run of which nothing is released any more, if those can end no other way.
local function end_tasks()
  local left = {}
  for workflow in pairs(moved) do
    left[#left + 1] = workflow
  end
  while left[1] do
    local workflow = table.remove(left)
    local task = task_around(workflow .. '.0')
    write_ended()
    if task and stopped(place_of(task)) and redis.call('SCARD', P .. 'o:' .. workflow) == 0 then
      if redis.call('HGET', record_key(task), 'p') == workflow then
        bar(task, 0, LATE)
        left[#left + 1] = select(3, part(task))
      end
    end
  end
end

-- Keeps the workflows that have moved. Whatever moves any does so before it ends.
local function keep_moved()
  end_tasks()
  for workflow, shown in pairs(moved) do
    keep_flow(P .. 'f:' .. workflow, workflow, shown)
  end
  moved = {}
end

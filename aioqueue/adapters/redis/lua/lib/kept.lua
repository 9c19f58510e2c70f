--[[
kept: nodes of workflows as they are kept, and how many are released in one script; uses base, scope, joins, lasting.
]]
local OPEN = 'aioqueue.open'
local room = PAGE

-- Splits a range in what is released now and the rest. One node alone is no more work than a message that
-- stands for it.
local function split(count)
  local now = count == 1 and 1 or math.min(count, room)
  room = math.max(0, room - now)
  return now, count - now
end

-- Returns a node that waits and may start: id, name, queue, meta, body, place, whether it is forgotten. Else nil.
local function waiting_node(id)
  local key, n = part(id)
  local f = redis.call('HMGET', key, 'b' .. n, 'n' .. n, 'p' .. n, 'g' .. n)
  if not (f[1] and f[2] and f[3]) then
    return nil
  end
  local node = { id = id, body = f[1], place = f[3], forgotten = f[4] }
  node.meta, node.queue, node.name = string.match(f[2], '^(.*) (%S+) (%S+)$')
  local state = redis.call('HGET', record_key(id), 's')
  return (not state or state == 'PENDING') and not stopped(node.place) and node or nil
end

local early = {}

-- Notes of a node that is not released, though its turn has come, what was closed before it.
local function note_early(workflow, number)
  early[#early + 1] = redis.call('HGET', P .. 'f:' .. workflow, 'y' .. number) or nil
end

-- Writes the record of a node that is released, with its receipt where there is one, and whose value only it takes.
local function write_released(node, owner, due, count, receipt)
  local key, n, workflow = part(node.id)
  local record = record_key(node.id)
  local attempt, sent = string.match(node.meta, '^(%S+) %S+ %S+ %S+ %S+ %S+ (%S+)')
  sent = sent == '0.0' and string.format('%.3f', NOW / 1000) or sent
  local values = { 's', 'PENDING', 'a', attempt, 'n', node.name, 'q', node.queue, 'c', sent, 'd', text(due) }
  if receipt then
    values[13], values[14] = 'e', receipt
  end
  redis.call('HSET', record, unpack(values))
  if node.forgotten then
    redis.call('HSET', record, 'g', '1')
  end
  local left = math.max(0, due - NOW) + OPEN_TTL
  redis.call('PEXPIRE', record, text(left))
  if count == 1 then
    redis.call('HSET', key, 'p' .. n, string.match(node.place, '^%S* %d* %S*') .. ' ' .. owner)
  end
  redis.call('SADD', P .. 'o:' .. workflow, n)
  extend(key, left)
  if due > NOW then
    -- what it takes, and what is around it, must be there by then
    if extend(P .. 'g:' .. owner, left) then
      keep_values(owner, left + DAY)
    end
    renew(node.id, node.place, due)
  end
  -- who is in it must be known as long as there is anything to be known of
  extend(P .. 'o:' .. workflow, math.max(left, lives[key] or 0))
end

-- Returns the messages that stand for the rest of a range, one a queue in which some of it is to wait: id, queue,
-- priority, body; none that was left before, or, again, that is not on its way, as it may not have got there.
local function openers(workflow, first, count, again)
  local key, number = P .. 'f:' .. workflow, text(first)
  local f = redis.call('HMGET', key, 'n' .. number, 'o' .. number, 'q' .. text(first + count - 1))
  if not f[1] or (f[2] and not again) then
    return {}
  end
  local found, at, released = {}, 0, P .. 'o:' .. workflow
  local priority, queue = string.match(f[1], '^%S+ %S+ (%S+) .* (%S+) %S+$')
  for queue in string.gmatch(f[3] or queue, '%S+') do
    local id = workflow .. '.open.' .. number .. (at > 0 and '.' .. at or '')
    if not f[2] or redis.call('SISMEMBER', released, id) == 1 then
      found[#found + 1] = { id = id, queue = queue, priority = priority, body = number .. ' ' .. text(count) }
      redis.call('SADD', released, id)
    end
    at = at + 1
  end
  redis.call('HSET', key, 'o' .. number, '1')
  extend(released, OPEN_TTL)
  return found
end

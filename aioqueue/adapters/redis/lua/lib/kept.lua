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
-- f: body, the rest, place and whether it is forgotten, if they have been read.
local function waiting_node(id, f)
  if not f then
    local key, n = part(id)
    f = redis.call('HMGET', key, 'b' .. n, 'n' .. n, 'p' .. n, 'g' .. n)
  end
  if not (f[1] and f[2] and f[3]) then
    return nil
  end
  local node = { id = id, body = f[1], place = f[3], forgotten = f[4] }
  node.meta, node.queue, node.name = string.match(f[2], '^(.*) (%S+) (%S+)$')
  local state = redis.call('HGET', record_key(id), 's')
  return (not state or state == 'PENDING') and not stopped(node.place) and node or nil
end

local AHEAD = 20

-- Returns the nodes of a range that wait and may start one by one, false for another, and the number of each.
local function waiting_nodes(workflow, first, count)
  local at, read, rows = 0, 0, {}
  return function()
    if at == count then
      return nil
    elseif at == read then
      local asked = {}
      read = math.min(count, at + AHEAD)
      for number = first + at, first + read - 1 do
        local n = text(number)
        for _, field in ipairs({ 'b', 'n', 'p', 'g' }) do
          asked[#asked + 1] = field .. n
        end
      end
      rows = redis.call('HMGET', P .. 'f:' .. workflow, unpack(asked))
    end
    local n, row = text(first + at), 4 * (at % AHEAD)
    at = at + 1
    return waiting_node(workflow .. '.' .. n, { rows[row + 1], rows[row + 2], rows[row + 3], rows[row + 4] }) or false, n
  end
end

local early = {}

-- Notes of a node that is not released, though its turn has come, what was closed before it.
local function note_early(workflow, number)
  early[#early + 1] = redis.call('HGET', P .. 'f:' .. workflow, 'y' .. number) or nil
end

-- Writes the record of a node that is released, with its receipt where there is one, and whose value only it takes.
-- Returns for how long, ms, it is kept.
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
  redis.call('PEXPIRE', record, text(left + DAY))
  if count == 1 then
    redis.call('HSET', key, 'p' .. n, string.match(node.place, '^%S* %d* %S*') .. ' ' .. owner)
    places[node.id] = nil
  end
  extend(key, left)
  if due > NOW then
    -- what it takes, and what is around it, must be there by then
    if extend(P .. 'g:' .. owner, left) then
      keep_values(owner, left + DAY)
    end
    renew(node.id, node.place, due)
  end
  return left
end

-- Notes the nodes that are released, by their numbers; left: ms that those are kept at least.
local function note_released(workflow, numbers, left)
  if numbers[1] then
    local released = P .. 'o:' .. workflow
    redis.call('SADD', released, unpack(numbers))
    -- who is in it must be known as long as there is anything to be known of
    extend(released, math.max(left, lives[P .. 'f:' .. workflow] or 0))
  end
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

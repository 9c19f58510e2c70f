--[[
nodes: releases nodes of workflows: their messages are put where messages wait; uses base, entries, messages, scope, joins,
lasting, kept.
]]
-- here there is none
LATE = 0

-- Returns for how long, ms, the node is kept then.
local function release_node(node, owner, count)
  local m = { id = node.id, name = node.name, queue = node.queue, body = node.body, losses = '0', seen = '0', marked = '0' }
  local eta, delay
  m.attempt, m.hop, m.priority, m.tracked, eta, delay, m.sent =
    string.match(node.meta, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)')
  m.eta, m.delay = tonumber(eta), tonumber(delay)
  -- before HDEL, as a start of a workflow is refused at maxmemory
  local receipt = place(m)
  return write_released(node, owner, due_of(m), count, receipt)
end

-- Takes back the message of a task that has not started; tells whether it was there.
local function withdraw(id, queue, attempt, receipt)
  local lane, entry, of = where(receipt or '')
  if lane then
    forget_entry(stream_key(of, lane), entry)
    return true
  end
  -- one that is to be tried again has its next attempt there
  for number = attempt, attempt + 1 do
    local member = id .. '/' .. text(number) .. '/0'
    if forget_delayed(queue, member) then
      return true
    end
  end
  return false
end

-- Leaves the messages that release more, unless somebody has done it.
local function leave_open(workflow, first, count)
  for _, m in ipairs(openers(workflow, first, count)) do
    publish({
      id = m.id, name = OPEN, queue = m.queue, body = m.body, attempt = '1', hop = '0', priority = m.priority,
      tracked = '0', losses = '0', seen = '0', marked = '0', sent = '0.0', eta = 0, delay = 0,
    })
  end
end

-- Releases nodes of the workflow that *owner*, a join or a scope, belongs to.
local function release(owner, first, count)
  local _, _, workflow = part(owner)
  local now, rest = split(count)
  local numbers, bodies, longest = {}, {}, 0
  for node, n in waiting_nodes(workflow, first, now) do
    if node then
      longest = math.max(longest, release_node(node, owner, count))
      numbers[#numbers + 1] = n
      bodies[#bodies + 1] = 'b' .. n
    else
      note_early(workflow, n)
    end
  end
  note_released(workflow, numbers, longest)
  if numbers[1] then
    redis.call('HDEL', P .. 'f:' .. workflow, unpack(bodies))
  end
  if rest > 0 then
    leave_open(workflow, first + now, rest)
  end
end

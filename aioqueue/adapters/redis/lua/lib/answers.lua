--[[
answers: releases nodes of workflows whose messages are in another store: they are answered, to be published
there, and stay here until they start; uses base, scope, joins, lasting, kept.
]]
LATE = CANCELLED
local answered, ranges = {}, {}

-- Messages are elsewhere, and lie there until somebody is handed them.
local function withdraw()
  return false
end

local function answer_node(node)
  answered[#answered + 1] = { node.id, node.name, node.queue, node.meta, node.body }
end

-- Answers the messages that stand for the rest of a range, unless they were answered before and have got there.
local function answer_open(workflow, first, rest)
  for _, m in ipairs(openers(workflow, first, rest, true)) do
    answered[#answered + 1] = { m.id, OPEN, m.queue, '1 0 ' .. m.priority .. ' 0 0 0 0.0 - 0.0', m.body }
  end
end

-- Answers again what was released before and has not started.
local function answer_again(lines)
  for workflow, first, now, rest in string.gmatch(lines, '(%S+) (%d+) (%d+) (%d+)') do
    for number = first, first + now - 1 do
      local node = waiting_node(workflow .. '.' .. text(number))
      if node then
        answer_node(node)
      end
    end
    if rest ~= '0' then
      answer_open(workflow, tonumber(first + now), tonumber(rest))
    end
  end
end

-- Answers again what is told of a cancelled whole that a node is part of and has not started.
local function answer_told(id)
  local key = part(id)
  local root = string.match(key and redis.call('HGET', key, 'w') or '', '^%S+')
  local s = root and called_off('  ' .. root) and scope_at(root)
  while s do
    local first, count = string.match(s.range, '^(%d+) (%d+)$')
    if s.closed and count ~= '0' then
      local now = math.min(count, PAGE)
      answer_again(table.concat({ s.workflow, first, text(now), text(count - now) }, ' '))
    end
    s = scope_at(s.around)
  end
end

-- Notes what was released with the key that keeps it.
local function note(key)
  if ranges[1] and redis.call('EXISTS', key) == 1 then
    redis.call('HSET', key, 'z', table.concat(ranges, '\n'))
  end
end

-- Answers again what was noted.
local function answer_noted(key)
  answer_again(redis.call('HGET', key, 'z') or '')
end

-- Releases nodes of the workflow that *owner*, a join or a scope, belongs to.
local function release(owner, first, count)
  local _, _, workflow = part(owner)
  local now, rest = split(count)
  local numbers, longest = {}, 0
  for node, n in waiting_nodes(workflow, first, now) do
    if node then
      local eta, delay = string.match(node.meta, '^%S+ %S+ %S+ %S+ (%S+) (%S+)')
      local left = write_released(node, owner, math.max(tonumber(eta), NOW + tonumber(delay)), count)
      longest = math.max(longest, left)
      numbers[#numbers + 1] = n
      answer_node(node)
    else
      note_early(workflow, n)
    end
  end
  note_released(workflow, numbers, longest)
  if rest > 0 then
    answer_open(workflow, first + now, rest)
  end
  ranges[#ranges + 1] = workflow .. ' ' .. text(first) .. ' ' .. text(now) .. ' ' .. text(rest)
end

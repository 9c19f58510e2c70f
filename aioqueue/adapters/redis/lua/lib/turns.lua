--[[
turns: whose turn it is: which group of queues, and which priority in it, as aioqueue/turns.py does; uses base, handed.
]]
local GUARD = 12

-- Tells whether something may wait in a lane of a queue.
local function may_wait(queue, lane)
  local stream = stream_key(queue, lane)
  if not spent[stream] and redis.call('XLEN', stream) == 0 then
    spent[stream] = true
  end
  return not spent[stream]
end

-- Returns the priorities in which something waits in any of *queues*, from the highest.
local function waiting(queues)
  local found = {}
  for lane = 9, 0, -1 do
    for _, queue in ipairs(queues) do
      if may_wait(queue, lane) then
        found[#found + 1] = lane
        break
      end
    end
  end
  if not found[2] then
    return found
  end
  -- what is held has its entries too
  local sure = {}
  for _, lane in ipairs(found) do
    for _, queue in ipairs(queues) do
      if may_wait(queue, lane) then
        local stream = stream_key(queue, lane)
        local held = redis.pcall('XPENDING', stream, 'w')
        if held.err or held[1] < redis.call('XLEN', stream) then
          sure[#sure + 1] = lane
          break
        end
      end
    end
  end
  return sure
end

-- Returns which of the priorities that wait is served, and for how many slots at most.
local function next_lane(group, lanes, slots)
  if not lanes[2] then
    return lanes[1], slots
  elseif group.passed < GUARD - 1 then
    return lanes[1], math.min(slots, GUARD - 1 - group.passed)
  end
  for i = #lanes, 2, -1 do
    if lanes[i] >= group.at then
      return lanes[i], 1
    end
  end
  return lanes[#lanes], 1
end

-- Takes in that so many slots went to a lane while these waited.
local function gave(group, lanes, lane, slots)
  if not lanes[2] then
    group.passed = 0
  elseif lane == lanes[1] then
    group.passed = group.passed + slots
  elseif slots > 0 then
    group.passed, group.at = 0, lane + 1
  end
end

-- Returns how many of *slots* each group has, in the smooth weighted order; the first all, without weights.
local function deal(live, slots)
  local shares, total = {}, 0
  for i, group in ipairs(live) do
    shares[i] = 0
    total = total + group.weight
  end
  if total == 0 then
    shares[1] = slots
    return shares
  end
  for _ = 1, slots do
    local best = 1
    for i, group in ipairs(live) do
      group.credit = group.credit + group.weight
      if group.credit > live[best].credit then
        best = i
      end
    end
    live[best].credit = live[best].credit - total
    shares[best] = shares[best] + 1
  end
  return shares
end

-- Fills *slots*, each group its share, and what one has no work for the others.
local function fill_slots(groups, slots, take)
  local live = groups
  while slots > 0 and live[1] do
    local left = {}
    for i, share in ipairs(deal(live, slots)) do
      local got = share > 0 and take(live[i], share) or 0
      slots = slots - got
      if got < share then
        live[i].credit = 0
      else
        left[#left + 1] = live[i]
      end
    end
    live = left
  end
end

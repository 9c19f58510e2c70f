--[[
handing: hands out messages of any queues, in turns, and what is not plain; uses base, handed, acts, entries, turns, begin,
messages, promote, scope, joins, lasting, kept, nodes, flow, unreadable, hand_on.
]]
-- The functions of scope, lasting and joins, as begin takes them.
local flow = { place_of = place_of, stopped = stopped, bar = bar, keep_moved = keep_moved, renew = renew }

local function take(lane, entry, queue, f)
  local m, receipt = unpack_entry(f, queue), receipt_of(lane, entry, queue)
  if not m then
    bury_unreadable(stream_key(queue, lane), entry, queue, f)
    return
  end
  local losses = m.losses
  if begins and m.tracked == '1' and not limited[m.name] then
    local record, place = fit(m, receipt, flow)
    if not record then
      forget_entry(stream_key(queue, lane), entry)
      unmark(m)
      return
    end
    losses = begin(m, receipt, record, place, flow, me, worker)
  end
  rows[#rows + 1] = { receipt, m.id, m.name, f.m, m.body, losses }
end

local placed

-- Takes the one of *entries* that is at *i*; the places of all nodes among those that follow are read at once.
local function take_other(lane, queue, entries, i)
  if begins and placed ~= entries then
    placed = entries
    local nodes = {}
    for at = i, #entries do
      local list = entries[at][2]
      if list[1] == 'i' and part(list[2]) then
        nodes[#nodes + 1] = list[2]
      end
    end
    if nodes[1] then
      read_places(nodes)
    end
  end
  take(lane, entries[i][1], queue, fields(entries[i][2]))
end

local take_entries
local queues, groups, known, paused, held_up, known_count = {}, {}, {}, {}, {}, 0

-- Reads what is asked for. sure: none of the queues is paused.
local function read_call(sure)
  known_count = tonumber(ARGV[6])
  local at = 7
  while at < 7 + known_count do
    known[ARGV[at]] = true
    at = at + 1
  end
  while ARGV[at] do
    local weight, credit, passed, lowest, count = string.match(ARGV[at], '^(%d+) (-?%d+) (%d+) (%d+) (%d+)$')
    local group = {
      weight = tonumber(weight), credit = tonumber(credit), passed = tonumber(passed), at = tonumber(lowest), queues = {},
    }
    for i = at + 1, at + tonumber(count) do
      queues[#queues + 1] = ARGV[i]
      if not sure and redis.call('SISMEMBER', P .. 'paused', ARGV[i]) == 1 then
        paused[#paused + 1] = ARGV[i]
        held_up[ARGV[i]] = true
      else
        group.queues[#group.queues + 1] = ARGV[i]
      end
    end
    groups[#groups + 1] = group
    at = at + 1 + tonumber(count)
  end
end

local suspected

-- Tells whether a suspect is held.
local function holds_suspect()
  if suspected ~= nil then
    return suspected
  end
  suspected = false
  for _, queue in ipairs(queues) do
    local stream = stream_key(queue, 'suspect')
    if redis.call('XLEN', stream) > 0 then
      local held = redis.pcall('XPENDING', stream, 'w', '-', '+', 1, me)
      suspected = suspected or (not held.err and held[1] ~= nil)
    end
  end
  return suspected
end

-- Takes what is held already, but unknown here: by the blocking read, or by the consumer itself.
local function take_held(queue, lane, name, most)
  local stream, waits = stream_key(queue, lane), name ~= me
  local held = redis.pcall('XPENDING', stream, 'w', '-', '+', most, name)
  for _, item in ipairs(held.err and {} or held) do
    local entry = item[1]
    if not known[receipt_of(lane, entry, queue)] then
      if held_up[queue] then
        hand_on(lane, entry, queue, name, 0, false)
      elseif #rows < limit and not (waits and lane == 'suspect' and holds_suspect()) then
        local list = redis.call('XRANGE', stream, entry, entry)
        if not list[1] then
          redis.call('XACK', stream, 'w', entry)
        else
          redis.call('XCLAIM', stream, 'w', me, 0, entry, 'JUSTID')
          -- an audit comes to it again
          known[receipt_of(lane, entry, queue)] = true
          if lane == 'suspect' then
            suspected = true
          end
          take_entries(lane, queue, list)
        end
      elseif waits then
        hand_on(lane, entry, queue, name, 0, false)
      end
    end
  end
end

-- Reads at most *count* new entries and takes them; returns how many there were.
local function take_new(queue, lane, count)
  local stream = stream_key(queue, lane)
  local reply = redis.pcall('XREADGROUP', 'GROUP', 'w', me, 'COUNT', count, 'STREAMS', stream, '>')
  if reply and reply.err then
    make_group(stream)
    reply = redis.call('XREADGROUP', 'GROUP', 'w', me, 'COUNT', count, 'STREAMS', stream, '>')
  end
  local entries = reply and reply[1][2] or {}
  take_entries(lane, queue, entries)
  return #entries
end

-- Reads a lane of a queue until there are *most* rows, or all of it has been read.
local function take_lane(queue, lane, most)
  while #rows < most and may_wait(queue, lane) do
    local count = lane == 'suspect' and 1 or most - #rows
    if lane == 'suspect' and holds_suspect() then
      return
    end
    local before = #rows
    if take_new(queue, lane, count) < count then
      spent[stream_key(queue, lane)] = true
    end
    if lane == 'suspect' and #rows > before then
      suspected = true
    end
  end
end

-- Takes *count* of a group: what was given back, suspects, then by priority. Returns how many there were.
local function take_group(group, count)
  local before, most = #rows, #rows + count
  for _, lane in ipairs({ 'again', 'suspect' }) do
    for _, queue in ipairs(group.queues) do
      take_lane(queue, lane, most)
    end
  end
  while #rows < most do
    local lanes = waiting(group.queues)
    if not lanes[1] then
      break
    end
    local lane, slots = next_lane(group, lanes, most - #rows)
    local had = #rows
    for _, queue in ipairs(group.queues) do
      take_lane(queue, lane, had + slots)
    end
    gave(group, lanes, lane, #rows - had)
  end
  return #rows - before
end

-- Tells whether nothing else waits in the lane of which the bell has told: very likely there is nothing anywhere.
local function rang_alone()
  local queue, lane = string.match(ARGV[5], '^(.*):(%w+)$')
  local stream = queue and stream_key(queue, lane)
  local held = stream and redis.pcall('XPENDING', stream, 'w')
  return held and not held.err and held[1] >= redis.call('XLEN', stream)
end

-- Makes ready what is due; it and what is handed out are together no more than a promotion alone.
local function promote_due()
  local promoted = 0
  for _, queue in ipairs(queues) do
    if promoted == 0 and #redis.call('ZRANGEBYSCORE', P .. 'd:' .. queue, '-inf', NOW_TEXT, 'LIMIT', 0, 1) > 0 then
      promoted = select(2, promote(queues, math.min(limit, PROMOTED / 2)))
    end
  end
  if promoted > 0 then
    limit = math.min(limit, PROMOTED - promoted)
  end
end

local function take_unknown()
  local waiter = me .. '.wait'
  for _, lane in ipairs(LANES) do
    for _, queue in ipairs(queues) do
      if ARGV[5] == '1' or ARGV[5] == queue .. ':' .. lane then
        take_held(queue, lane, waiter, 100)
      end
      if known_count >= 0 then
        take_held(queue, lane, me, known_count + 100)
      end
    end
  end
end

-- Hands out what can be had at once and answers as the script does. taking: takes entries of a lane. filling: nothing is
-- due or paused, and what is held was taken.
local function hand_out(taking, filling)
  take_entries = taking
  read_call(filling)
  if not alive then
    return { NOW_TEXT, 0, {}, paused, {} }
  end
  if not filling then
    promote_due()
    take_unknown()
  end
  -- what has come into other lanes since rings the bell again
  if filling or not (rows[1] and known_count < 0 and rang_alone()) then
    fill_slots(groups, limit - #rows, take_group)
  end
  local turns = {}
  for i, group in ipairs(groups) do
    turns[i] = text(group.credit) .. ' ' .. text(group.passed) .. ' ' .. text(group.at)
  end
  return { NOW_TEXT, 1, rows, paused, turns }
end

--[[
fetch: hand out messages and write that they have begun; a consumer whose lease has lapsed gets none.
Uses base, messages, promote, turns, begin
Apart scope, joins, lasting, kept, nodes, flow, unreadable, hand_on
KEYS[1] prefix    of the namespace
ARGV[1] begins    1: records are here, write STARTED in them, but for tasks whose names follow, a line each: those
                  begin when they are admitted; 0: they are not
ARGV[2] consumer  its name
ARGV[3] worker    the name written into records
ARGV[4] limit     most deliveries
ARGV[5] look      the queue and lane, queue:lane, of which a blocking read has brought something, which
                  <consumer>.wait holds; 1: it may be any; 0: none
ARGV[6] audit     how many receipts follow, all that the consumer knows to hold, or -1: what it holds
                  beside them was lost on its way and is handed out again
ARGV[7] rest      those receipts, then of each group of queues its turn (weight, credit, passed, at, how many
                  queues) and their names
Returns the moment it is now, 1 or 0 where the lease has lapsed, a row a delivery: receipt, id, name, meta,
body, losses; the queues that are paused, and credit, passed and at of each group.
]]
local begins, me, worker, limit = string.sub(ARGV[1], 1, 1) == '1', ARGV[2], ARGV[3], tonumber(ARGV[4])
local limited = {}
for name in string.gmatch(ARGV[1], '\n([^\n]+)') do
  limited[name] = true
end
local waiter, known_count = ARGV[2] .. '.wait', tonumber(ARGV[6])
local rows, queues, groups, known, paused, held_up = {}, {}, {}, {}, {}, {}
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
    if redis.call('SISMEMBER', P .. 'paused', ARGV[i]) == 1 then
      paused[#paused + 1] = ARGV[i]
      held_up[ARGV[i]] = true
    else
      group.queues[#group.queues + 1] = ARGV[i]
    end
  end
  groups[#groups + 1] = group
  at = at + 1 + tonumber(count)
end

if redis.call('EXISTS', P .. 'l:' .. me) == 0 then
  return { text(NOW), 0, {}, paused, {} }
end

local function take(lane, entry, queue, f)
  local m, receipt = unpack_entry(f, queue), receipt_of(lane, entry, queue)
  if not m then
    apart.bury_unreadable(stream_key(queue, lane), entry, queue, f)
    return
  end
  local losses = m.losses
  if begins and m.tracked == '1' and not limited[m.name] then
    local record, place = fit(m, receipt, apart)
    if not record then
      forget_entry(stream_key(queue, lane), entry)
      unmark(m)
      return
    end
    losses = begin(m, receipt, record, place, apart, me, worker)
  end
  rows[#rows + 1] = { receipt, m.id, m.name, f.m, m.body, losses }
end

-- Tells whether a suspect is held.
local function holds_suspect()
  for _, queue in ipairs(queues) do
    local stream = stream_key(queue, 'suspect')
    if redis.call('XLEN', stream) > 0 then
      local held = redis.pcall('XPENDING', stream, 'w', '-', '+', 1, me)
      if not held.err and held[1] then
        return true
      end
    end
  end
  return false
end

local suspected = holds_suspect()

-- Takes what is held already, but unknown here: by the blocking read, or by the consumer itself.
local function take_held(queue, lane, name, most)
  local stream = stream_key(queue, lane)
  local held = redis.pcall('XPENDING', stream, 'w', '-', '+', most, name)
  for _, item in ipairs(held.err and {} or held) do
    local entry = item[1]
    if not known[receipt_of(lane, entry, queue)] then
      local f = entry_at(stream, entry)
      if not f then
        redis.call('XACK', stream, 'w', entry)
      elseif held_up[queue] then
        apart.hand_on(lane, entry, queue, name, 0, false)
      elseif #rows < limit and not (name == waiter and lane == 'suspect' and suspected) then
        redis.call('XCLAIM', stream, 'w', me, 0, entry, 'JUSTID')
        -- an audit comes to it again
        known[receipt_of(lane, entry, queue)] = true
        suspected = suspected or lane == 'suspect'
        take(lane, entry, queue, f)
      elseif name == waiter then
        apart.hand_on(lane, entry, queue, name, 0, false)
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
  local entries, read, nodes = reply and reply[1][2] or {}, {}, {}
  for i, entry in ipairs(entries) do
    read[i] = fields(entry[2])
    if begins and part(read[i].i or '') then
      nodes[#nodes + 1] = read[i].i
    end
  end
  if nodes[1] then
    apart.read_places(nodes)
  end
  for i, entry in ipairs(entries) do
    take(lane, entry[1], queue, read[i])
  end
  return #entries
end

-- Reads a lane of a queue until there are *most* rows, or all of it has been read.
local function take_lane(queue, lane, most)
  while #rows < most and may_wait(queue, lane) do
    local count = lane == 'suspect' and 1 or most - #rows
    if lane == 'suspect' and suspected then
      return
    end
    local before = #rows
    if take_new(queue, lane, count) < count then
      spent[stream_key(queue, lane)] = true
    end
    suspected = suspected or (lane == 'suspect' and #rows > before)
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

local _, promoted = promote(queues, math.min(limit, PROMOTED / 2))
if promoted > 0 then
  -- both together are no more than a promotion alone
  limit = math.min(limit, PROMOTED - promoted)
end
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
fill(groups, limit - #rows, take_group)
local turns = {}
for i, group in ipairs(groups) do
  turns[i] = text(group.credit) .. ' ' .. text(group.passed) .. ' ' .. text(group.at)
end
return { text(NOW), 1, rows, paused, turns }

--[[
fetch: hand out messages and write that they have begun; a consumer whose lease has lapsed gets none.
Uses base, entries, turns
Apart acts, begin, messages, promote, scope, joins, lasting, kept, nodes, flow, unreadable, hand_on
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
    local record, place = apart.fit(m, receipt, apart)
    if not record then
      forget_entry(stream_key(queue, lane), entry)
      apart.unmark(m)
      return
    end
    losses = apart.begin(m, receipt, record, place, apart, me, worker)
  end
  rows[#rows + 1] = { receipt, m.id, m.name, f.m, m.body, losses }
end

-- Takes what has been sent once, handed out never, and is in no workflow nor limited; false where it is another.
local function take_plain(lane, entry, queue, list)
  local id, meta = list[2], list[6]
  if list[1] ~= 'i' or list[3] ~= 'n' or list[5] ~= 'm' or list[7] ~= 'b' or list[9] or limited[list[4]] then
    return false
  end
  local m = (metas[meta] or read_meta(meta)).__index
  if not begins or m.tracked ~= '1' or m.attempt ~= '1' or m.losses ~= '0' or m.marked ~= '0' or part(id) then
    return false
  end
  local key, receipt = record_key(id), receipt_of(lane, entry, queue)
  local record = redis.call('HMGET', key, 's', 'a', 'e', 'l', 'p')
  if record[1] ~= 'PENDING' or record[2] ~= '1' or record[3] ~= receipt or record[4] or record[5] then
    return false
  end
  redis.call('HSET', key, 's', 'STARTED', 'o', me, 'w', worker, 'b', NOW_TEXT)
  if NOW - tonumber(m.sent) * 1000 > DAY then
    redis.call('PEXPIRE', key, OPEN_TEXT)
  end
  rows[#rows + 1] = { receipt, id, list[4], meta, list[8], '0' }
  return true
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
  local stream = stream_key(queue, lane)
  local held = redis.pcall('XPENDING', stream, 'w', '-', '+', most, name)
  for _, item in ipairs(held.err and {} or held) do
    local entry = item[1]
    if not known[receipt_of(lane, entry, queue)] then
      if held_up[queue] then
        apart.hand_on(lane, entry, queue, name, 0, false)
      elseif #rows < limit and not (name == waiter and lane == 'suspect' and holds_suspect()) then
        local list = redis.call('XRANGE', stream, entry, entry)[1]
        if not list then
          redis.call('XACK', stream, 'w', entry)
        else
          redis.call('XCLAIM', stream, 'w', me, 0, entry, 'JUSTID')
          -- an audit comes to it again
          known[receipt_of(lane, entry, queue)] = true
          if lane == 'suspect' then
            suspected = true
          end
          if not take_plain(lane, entry, queue, list[2]) then
            take(lane, entry, queue, fields(list[2]))
          end
        end
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
    apart.make_group(stream)
    reply = redis.call('XREADGROUP', 'GROUP', 'w', me, 'COUNT', count, 'STREAMS', stream, '>')
  end
  local entries, nodes = reply and reply[1][2] or {}, {}
  for _, entry in ipairs(entries) do
    local id = begins and entry[2][1] == 'i' and entry[2][2]
    if id and part(id) then
      nodes[#nodes + 1] = id
    end
  end
  if nodes[1] then
    apart.read_places(nodes)
  end
  for _, entry in ipairs(entries) do
    if not take_plain(lane, entry[1], queue, entry[2]) then
      take(lane, entry[1], queue, fields(entry[2]))
    end
  end
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

local promoted = 0
for _, queue in ipairs(queues) do
  if promoted == 0 and #redis.call('ZRANGEBYSCORE', P .. 'd:' .. queue, '-inf', NOW_TEXT, 'LIMIT', 0, 1) > 0 then
    promoted = select(2, apart.promote(queues, math.min(limit, PROMOTED / 2)))
  end
end
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
-- what has come into other lanes since rings the bell again
if not (rows[1] and known_count < 0 and rang_alone()) then
  fill_slots(groups, limit - #rows, take_group)
end
local turns = {}
for i, group in ipairs(groups) do
  turns[i] = text(group.credit) .. ' ' .. text(group.passed) .. ' ' .. text(group.at)
end
return { text(NOW), 1, rows, paused, turns }

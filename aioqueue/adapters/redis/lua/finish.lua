--[[
finish: end attempts where broker and backend are this store: record, dead letter, what follows, and the
end of the message, each ending whole or not at all. A workflow moves on by it.
Uses base, messages
Apart scope, joins, lasting, kept, nodes, flow
KEYS[1] prefix    of the namespace
ARGV[1] consumer  its name
ARGV[2] endings   each: receipt, id, meta, value, error, reason, then its followers, 5 values each.
                  meta: attempt hop state tracked marked held? losses ttl due value? error? buried? opens?
                  followers, with ttl in ms, due in ms or 0, and 1 or 0 for what is there; error without
                  error? is for a workflow alone; one that opens has the body of its message as value; one of
                  STARTED goes on as a workflow: value is its opening, error its outline, as start takes them
Returns a list of 1, or 0 where another attempt owns the task. The same consumer's repeat is 1.
]]
local REPEATED = 60000
-- Bytes of a value up to which who waits is told it, beside the moments; of others they read the record.
local TOLD = 65536
local me = ARGV[1]

-- What has been read of the metas of endings, which are mostly alike; each stands behind the endings that have it.
local ends = {}

local function read_end(meta)
  local e, ttl, due, followers = {}, nil, nil, nil
  e.attempt, e.hop, e.state, e.tracked, e.marked, e.held, e.losses, ttl, due, e.has_value, e.has_error, e.buried,
    e.does_open, followers =
    string.match(meta, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$')
  e.ttl, e.due, e.followers = tonumber(ttl), tonumber(due), tonumber(followers)
  ends[meta] = { __index = e }
  return ends[meta]
end

local function read_ending(at)
  local meta, value, fault = ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local e = setmetatable({ receipt = ARGV[at], id = ARGV[at + 1], fault = fault }, ends[meta] or read_end(meta))
  if e.does_open == '1' then
    e.opens = value
  end
  if e.state == 'STARTED' then
    e.opening, e.outline = apart.read_opening(value), fault
  end
  if e.has_value == '1' then
    e.value = value
  end
  if e.has_error == '1' then
    e.error = fault
  end
  if e.buried == '1' then
    e.reason = ARGV[at + 5]
  end
  e.lane, e.entry, e.queue = where(e.receipt)
  e.stream = stream_key(e.queue, e.lane)
  e.key = record_key(e.id)
  return e
end

-- Entries that are held, a stream each.
local held = {}
local HELD_MOST = 1000

local function is_before(entry, other)
  local at, number = string.match(entry, '^(%d+)-(%d+)$')
  local other_at, other_number = string.match(other, '^(%d+)-(%d+)$')
  if at == other_at then
    return tonumber(number) < tonumber(other_number)
  end
  return tonumber(at) < tonumber(other_at)
end

-- Looks at once which of the endings' entries are held, and where nodes stand.
local function look(endings)
  local first, last, nodes = {}, {}, {}
  for _, e in ipairs(endings) do
    local stream = e.stream
    if e.tracked == '1' and part(e.id) then
      nodes[#nodes + 1] = e.id
    end
    if not first[stream] or is_before(e.entry, first[stream]) then
      first[stream] = e.entry
    end
    if not last[stream] or is_before(last[stream], e.entry) then
      last[stream] = e.entry
    end
  end
  for stream, entry in pairs(first) do
    local mine = redis.pcall('XPENDING', stream, 'w', entry, last[stream], HELD_MOST, me)
    local found = {}
    for _, item in ipairs(mine.err and {} or mine) do
      found[item[1]] = true
    end
    -- of more than that it is not known
    held[stream] = #mine < HELD_MOST and found or nil
  end
  if nodes[1] then
    apart.read_places(nodes)
  end
end

local function is_held(e)
  local mine = held[e.stream]
  if mine then
    return mine[e.entry]
  end
  return holds(e.stream, e.entry, me)
end

local forgotten, forgotten_first = {}, false

-- Forgets the message of an ending, the first at once and others together. XACK is first of all, as a script whose first
-- write needs no memory is let through at maxmemory.
local function forget(e)
  if held[e.stream] then
    held[e.stream][e.entry] = nil
  end
  if forgotten_first then
    forgotten[e.stream] = forgotten[e.stream] or {}
    table.insert(forgotten[e.stream], e.entry)
    return
  end
  forgotten_first = true
  forget_entry(e.stream, e.entry)
end

local function write_forgotten()
  for stream, entries in pairs(forgotten) do
    redis.call('XACK', stream, 'w', unpack(entries))
    redis.call('XDEL', stream, unpack(entries))
  end
end

-- Returns 'done' for a repeat, 'mine' for what is this consumer's to end, or nil; and the record.
local function judge(e)
  local record = {}
  if e.tracked == '1' then
    record = redis.call('HMGET', e.key, 's', 'a', 'o', 'e', 'g', 'p', 'b', 'w', 'l', 'k', 'i')
  end
  local own = record[2] == e.attempt and record[3] == me
  if record[1] and own and (record[1] ~= 'STARTED' or record[6]) then
    return 'done', record
  end
  e.place = e.tracked == '1' and part(e.id) and apart.place_of(e.id)
  if e.place and apart.called_off(e.place) then
    return nil, record
  end
  local on_record = own and record[4] == e.receipt
  if is_held(e) then
    return (on_record or not record[1]) and 'mine' or nil, record
  end
  -- what the consumer believes to hold was deleted by somebody: nobody else can hold it
  local lost = e.held == '1' and on_record and #redis.call('XRANGE', e.stream, e.entry, e.entry) == 0
  return lost and 'mine' or nil, record
end

-- Stands for an entry that somebody has deleted.
local function gone(e)
  return { i = e.id, n = '', b = '', m = table.concat({ e.attempt, e.hop, 0, e.tracked, e.losses, 0, 0, '0.0' }, ' ') }
end

-- Tells whether an attempt before this one may be remembered.
local function tried_before(e)
  return e.attempt ~= '1' or e.losses ~= '0'
end

local function write_record(e, record, f)
  if record[11] then
    local shown = record[5] and 0 or math.max(0, e.ttl)
    expire_log(e.id, text(FINAL[e.state] and shown or math.max(0, e.due - NOW) + OPEN_TTL))
  end
  if FINAL[e.state] and (record[5] or e.ttl <= 0) then
    -- hidden, and kept a moment for a repeat of this call, or of the send
    redis.call('HDEL', e.key, 'v', 'x')
    redis.call('HSET', e.key, 's', e.state, 'a', e.attempt, 'o', me, 'g', '1')
    redis.call('PEXPIRE', e.key, text(REPEATED))
    if tried_before(e) then
      redis.call('DEL', P .. 'h:' .. e.id)
    end
    return
  end
  if e.state == 'SUCCESS' and e.value and not e.error and record[1] and not tried_before(e) then
    -- what most endings are: whose attempt it is stands there already
    redis.call('HSET', e.key, 's', 'SUCCESS', 'v', e.value, 'f', NOW_TEXT)
    redis.call('PEXPIRE', e.key, text(e.ttl))
    if #e.value <= TOLD and not string.find(record[8] or '', '\n', 1, true) then
      e.told = table.concat({ 'SUCCESS', record[7], NOW_TEXT, record[9] or '0', record[8] or '' }, ' ') .. '\n' .. e.value
    end
    return
  end
  local values = { 's', e.state, 'a', e.attempt, 'o', me }
  local function add(field, value)
    values[#values + 1] = field
    values[#values + 1] = value
  end
  if not record[1] then
    local m = unpack_entry(f, e.queue)
    add('n', m.name)
    add('q', e.queue)
    add('c', m.sent)
    add('l', e.losses)
  end
  if e.value then
    add('v', e.value)
  end
  if e.error then
    add('x', e.error)
  elseif e.attempt ~= '1' then
    redis.call('HDEL', e.key, 'x')
  end
  if FINAL[e.state] then
    add('f', text(NOW))
  elseif e.opening then
    add('p', e.opening.workflow)
  else
    add('d', text(e.due))
  end
  redis.call('HSET', e.key, unpack(values))
  local keep = FINAL[e.state] and e.ttl or math.max(0, e.due - NOW) + OPEN_TTL
  redis.call('PEXPIRE', e.key, text(keep))
  if e.state == 'RETRY' then
    remember(e.id, text(e.due), e.error or '', keep)
  elseif tried_before(e) then
    redis.call('PEXPIRE', P .. 'h:' .. e.id, text(keep))
  end
end

local function follow(e, m)
  if m.id ~= e.id then
    submit(m, false)
    return
  end
  -- the next attempt, which goes on with the losses of this one
  m.losses = e.losses
  local receipt = place(m)
  if m.tracked == '1' then
    redis.call('HSET', e.key, 'e', receipt)
  end
end

local moves = false

-- Moves on the workflow that the task, or the message that opens more, belongs to.
local function move(e)
  moves = moves or e.opening or e.place or e.opens
  if e.opening then
    apart.open_flow(e.opening, e.outline)
  elseif e.place and FINAL[e.state] then
    apart.move_on(e.id, e.place, e.state, e.state == 'SUCCESS' and (e.value or 'null') or e.fault, e.ttl)
  elseif e.place then
    apart.renew(e.id, e.place, e.due)
  elseif e.opens and e.state == 'SUCCESS' then
    local first, count = string.match(e.opens, '^(%d+) (%d+)$')
    apart.open_more(e.id, tonumber(first or '0'), tonumber(count or '0'))
  end
end

-- Forgets the message of a task that was ended or cancelled meanwhile.
local function let_go_of(e, record)
  local barred = not FINAL[record[1]] and e.place and apart.called_off(e.place)
  if e.opening and (barred or FINAL[record[1]]) then
    apart.discard(e.opening.workflow)
  end
  if not (barred or FINAL[record[1]] or record[6]) or not is_held(e) then
    return
  end
  forget(e)
  if e.marked == '1' then
    unmark(e)
  end
  if barred then
    moves = true
    apart.bar(e.id, 0, 0)
  end
end

local function finish(e, at)
  local verdict, record = judge(e)
  if verdict == 'done' then
    if is_held(e) then
      forget(e)
    end
    return 1
  elseif not verdict then
    let_go_of(e, record)
    return 0
  end
  local f
  if e.buried == '1' or (e.tracked == '1' and not record[1]) then
    f = entry_at(e.stream, e.entry)
    f = f and unpack_entry(f, e.queue) and f or gone(e)
  end
  forget(e)
  if e.tracked == '1' then
    write_record(e, record, f)
  end
  if e.marked == '1' then
    unmark(e)
  end
  if e.buried == '1' then
    bury(unpack_entry(f, e.queue), e.reason)
  end
  for i = 0, e.followers - 1 do
    follow(e, read_message(at + 6 + i * WIDTH))
  end
  move(e)
  if FINAL[e.state] and record[10] then
    free_key(record[10], e.id)
  end
  if FINAL[e.state] then
    say('done:' .. e.id, e.told or '')
  end
  return 1
end

local answers, endings, at = {}, {}, 2
while at <= #ARGV do
  local e = read_ending(at)
  e.at = at
  endings[#endings + 1] = e
  at = at + 6 + e.followers * WIDTH
end
look(endings)
for i, e in ipairs(endings) do
  answers[i] = finish(e, e.at)
end
write_forgotten()
if moves then
  apart.keep_moved()
end
return answers

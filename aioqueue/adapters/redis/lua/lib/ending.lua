--[[
ending: one ending of a script that is not plain: record, dead letter, what follows, and what moves on by it; uses
base, acts, endings, entries, given, messages, scope, joins, lasting, kept, nodes, flow.
]]
local REPEATED = 60000

local function read_ending(at)
  local meta, value, fault = ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local e = setmetatable({ receipt = ARGV[at], id = ARGV[at + 1], fault = fault }, (ends[meta] or read_end(meta)).behind)
  if e.does_open == '1' then
    e.opens = value
  end
  if e.state == 'STARTED' then
    e.opening, e.outline = read_opening(value), fault
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

-- Returns 'done' for a repeat, 'mine' for what is this consumer's to end, or nil; and the record.
local function judge(e)
  local record = {}
  if e.tracked == '1' then
    record = redis.call('HMGET', e.key, 's', 'a', 'o', 'e', 'g', 'p', 'b', 'w', 'l', 'k', 'i', 't', 'c')
  end
  local own = record[2] == e.attempt and record[3] == me
  if record[1] and own and (record[1] ~= 'STARTED' or record[6]) then
    return 'done', record
  end
  e.place = e.tracked == '1' and part(e.id) and place_of(e.id)
  if e.place and called_off(e.place) then
    return nil, record
  end
  local on_record = own and record[4] == e.receipt
  if is_held(e.stream, e.entry) then
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
    e.told = write_success(e.key, e.value, e.keep, record[7], record[8], record[9])
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

local any_moves = false

-- Moves on the workflow that the task, or the message that opens more, belongs to.
local function move(e)
  any_moves = any_moves or e.opening or e.place or e.opens
  if e.opening then
    open_flow(e.opening, e.outline)
  elseif e.place and FINAL[e.state] then
    move_on(e.id, e.place, e.state, e.state == 'SUCCESS' and (e.value or 'null') or e.fault, e.ttl)
  elseif e.place then
    renew(e.id, e.place, e.due)
  elseif e.opens and e.state == 'SUCCESS' then
    local from, count = string.match(e.opens, '^(%d+) (%d+)$')
    open_more(e.id, tonumber(from or '0'), tonumber(count or '0'))
  end
end

-- Forgets the message of a task that was ended or cancelled meanwhile.
local function let_go_of(e, record)
  local barred = not FINAL[record[1]] and e.place and called_off(e.place)
  if e.opening and (barred or FINAL[record[1]]) then
    discard(e.opening.workflow)
  end
  if not (barred or FINAL[record[1]] or record[6]) or not is_held(e.stream, e.entry) then
    return
  end
  forget(e.stream, e.entry)
  if e.marked == '1' then
    unmark(e)
  end
  if barred then
    any_moves = true
    bar(e.id, 0, 0)
  end
end

-- Ends what stands at *at* of the arguments. Returns 1, or 0 where another attempt owns the task.
local function finish(at)
  local e = read_ending(at)
  local verdict, record = judge(e)
  if verdict == 'done' then
    if is_held(e.stream, e.entry) then
      forget(e.stream, e.entry)
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
  forget(e.stream, e.entry)
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
    tell_all(e.id, record[12], record[13], e.told or '')
  end
  return 1
end

-- Keeps the workflows that have moved by all of the endings; nodes: there are some of workflows among them.
local function finished(nodes)
  if nodes or any_moves then
    keep_moved()
  end
end

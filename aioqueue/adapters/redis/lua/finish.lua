--[[
finish: end attempts where broker and backend are this store: record, dead letter, what follows, and the
end of the message, each ending whole or not at all. A workflow moves on by it.
Uses base, messages, scope, joins, lasting, kept, nodes, flow
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
local me = ARGV[1]

local function read_ending(at)
  local e = { receipt = ARGV[at], id = ARGV[at + 1], value = ARGV[at + 3], error = ARGV[at + 4], reason = ARGV[at + 5] }
  local ttl, due, has_value, has_error, opens, followers
  e.attempt, e.hop, e.state, e.tracked, e.marked, e.held, e.losses, ttl, due, has_value, has_error, e.buried,
    opens, followers =
    string.match(ARGV[at + 2], '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$')
  e.ttl, e.due, e.followers = tonumber(ttl), tonumber(due), tonumber(followers)
  e.opens = opens == '1' and e.value or nil
  if e.state == 'STARTED' then
    e.opening, e.outline = read_opening(e.value), e.error
  end
  e.value = has_value == '1' and e.value or nil
  e.fault = e.error
  e.error = has_error == '1' and e.error or nil
  e.lane, e.entry, e.queue = where(e.receipt)
  e.stream = stream_key(e.queue, e.lane)
  e.key = record_key(e.id)
  return e
end

-- Returns 'done' for a repeat, 'mine' for what is this consumer's to end, or nil; and the record.
local function judge(e)
  local record = {}
  if e.tracked == '1' then
    record = redis.call('HMGET', e.key, 's', 'a', 'o', 'e', 'g', 'p')
  end
  local own = record[2] == e.attempt and record[3] == me
  if record[1] and own and (record[1] ~= 'STARTED' or record[6]) then
    return 'done', record
  end
  e.place = e.tracked == '1' and place_of(e.id)
  if e.place and called_off(e.place) then
    return nil, record
  end
  local on_record = own and record[4] == e.receipt
  if holds(e.stream, e.entry, me) then
    return (on_record or not record[1]) and 'mine' or nil, record
  end
  -- what the consumer believes to hold was deleted by somebody: nobody else can hold it
  local gone = e.held == '1' and on_record and #redis.call('XRANGE', e.stream, e.entry, e.entry) == 0
  return gone and 'mine' or nil, record
end

-- Stands for an entry that somebody has deleted.
local function gone(e)
  return { i = e.id, n = '', b = '', m = table.concat({ e.attempt, e.hop, 0, e.tracked, e.losses, 0, 0, '0.0' }, ' ') }
end

local function write_record(e, record, f)
  if FINAL[e.state] and (record[5] or e.ttl <= 0) then
    -- hidden, and kept a moment for a repeat of this call, or of the send
    redis.call('HDEL', e.key, 'v', 'x')
    redis.call('HSET', e.key, 's', e.state, 'a', e.attempt, 'o', me, 'g', '1')
    redis.call('PEXPIRE', e.key, text(REPEATED))
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
  redis.call('PEXPIRE', e.key, text(FINAL[e.state] and e.ttl or math.max(0, e.due - NOW) + OPEN_TTL))
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

-- Moves on the workflow that the task, or the message that opens more, belongs to.
local function move(e)
  if e.opening then
    open_flow(e.opening, e.outline)
  elseif e.place and FINAL[e.state] then
    move_on(e.id, e.place, e.state, e.state == 'SUCCESS' and (e.value or 'null') or e.fault, e.ttl)
  elseif e.place then
    renew(e.id, e.place, e.due)
  elseif e.opens and e.state == 'SUCCESS' then
    local first, count = string.match(e.opens, '^(%d+) (%d+)$')
    open_more(e.id, tonumber(first or '0'), tonumber(count or '0'))
  end
end

-- Forgets the message of a task that was ended or cancelled meanwhile.
local function let_go_of(e, record)
  local barred = not FINAL[record[1]] and e.place and called_off(e.place)
  if e.opening and (barred or FINAL[record[1]]) then
    discard(e.opening.workflow)
  end
  if not (barred or FINAL[record[1]] or record[6]) or not holds(e.stream, e.entry, me) then
    return
  end
  forget_entry(e.stream, e.entry)
  if e.marked == '1' then
    unmark(e)
  end
  if barred then
    bar(e.id, 0, LATE)
  end
end

local function finish(e, at)
  local verdict, record = judge(e)
  if verdict == 'done' then
    if holds(e.stream, e.entry, me) then
      forget_entry(e.stream, e.entry)
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
  forget_entry(e.stream, e.entry)
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
  if FINAL[e.state] then
    tell(e.id)
  end
  return 1
end

local answers, at = {}, 2
while at <= #ARGV do
  local e = read_ending(at)
  answers[#answers + 1] = finish(e, at)
  at = at + 6 + e.followers * WIDTH
end
keep_moved()
return answers

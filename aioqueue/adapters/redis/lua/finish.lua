--[[
finish: end attempts where broker and backend are this store: record, dead letter, what follows, and the
end of the message, each ending whole or not at all. A workflow moves on by it.
Uses base, given, endings
Apart acts, entries, messages, scope, joins, lasting, kept, nodes, flow, ending
KEYS[1] prefix    of the namespace
ARGV[1] consumer  its name
ARGV[2] endings   each: receipt, id, meta, value, error, reason, then its followers, 5 values each.
                  meta: attempt hop state tracked marked held? losses ttl due value? error? buried? opens?
                  followers, with ttl in ms, due in ms or 0, and 1 or 0 for what is there; error without
                  error? is for a workflow alone; one that opens has the body of its message as value; one of
                  STARTED goes on as a workflow: value is its opening, error its outline, as start takes them
Returns a list of 1, or 0 where another attempt owns the task. The same consumer's repeat is 1.
]]
local answers, starts, streams, entries, nodes = {}, {}, {}, {}, {}
local count, at, others = 0, 2, false
while at <= #ARGV do
  local e = ends[ARGV[at + 2]] or read_end(ARGV[at + 2])
  local lane, entry, queue = where(ARGV[at])
  count = count + 1
  starts[count], streams[count], entries[count] = at, stream_key(queue, lane), entry
  ends_here(streams[count], entry)
  if e.tracked == '1' and part(ARGV[at + 1]) then
    nodes[#nodes + 1] = ARGV[at + 1]
  end
  at = at + 6 + e.followers * WIDTH
end
look(ARGV[1])
if nodes[1] then
  apart.read_places(nodes)
end

-- Ends an only attempt that has succeeded, of a task that has no more on record than most; false where it is another,
-- or not this consumer's.
local function succeed(i, e)
  local start, stream, entry = starts[i], streams[i], entries[i]
  local id, value = ARGV[start + 1], ARGV[start + 3]
  if not e.plain or not is_held(stream, entry) then
    return false
  end
  local place = part(id) and (apart.place_of(id) or '')
  if place == '' or (place and apart.called_off(place)) then
    return false
  end
  local key = record_key(id)
  local record = redis.call('HMGET', key, 's', 'a', 'o', 'e', 'b', 'w', 'l', 'g', 'p', 'k', 'i', 't', 'c')
  local mine = record[1] == 'STARTED' and record[2] == '1' and record[3] == me and record[4] == ARGV[start]
  if not mine or record[8] or record[9] or record[10] or record[11] then
    return false
  end
  forget(stream, entry)
  local told = write_success(key, value, e.keep, record[5], record[6], record[7])
  if place then
    apart.move_on(id, place, 'SUCCESS', value, e.ttl)
  end
  tell_all(id, record[12], record[13], told)
  return true
end

for i = 1, count do
  if succeed(i, ends[ARGV[starts[i] + 2]]) then
    answers[i] = 1
  else
    others = true
    answers[i] = apart.finish(starts[i])
  end
end
write_forgotten()
if nodes[1] or others then
  apart.finished(nodes[1])
end
return answers

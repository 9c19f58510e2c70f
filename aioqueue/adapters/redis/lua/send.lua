--[[
send: add messages, all or none; with their records where broker and backend are this store.
Uses base, given
Apart acts, entries, messages, count
KEYS[1] prefix     of the namespace
ARGV[1] recorded   1: new tasks with records; 0: messages only
ARGV[2] again      1: the same call may have been made before; a task of the same sending is then no copy
ARGV[3] limit      most messages a queue may hold, or -1
ARGV[4] sender     who is told of the end of plain tasks on a channel of its own, or ''
ARGV[5] messages   5 values each: id, name, queue, meta, body
Returns a list of 1, or 0 for each copy or known id; or, with nothing written, the name of a queue that is
full, how many it holds and how many more there were.
]]
local limit = tonumber(ARGV[3])
if limit >= 0 then
  local new, seen = {}, {}
  for at = 5, #ARGV, WIDTH do
    local m = read_message(at)
    local key = m.tracked == '1' and record_key(m.id) or apart.message_key(m.id, m.attempt, m.hop)
    if not seen[m.id] and redis.call('EXISTS', key) == 0 then
      new[m.queue] = (new[m.queue] or 0) + 1
    end
    seen[m.id] = true
  end
  for queue, more in pairs(new) do
    local ready, delayed, held = apart.count(queue)
    if more > 0 and ready + delayed + held + more > limit then
      return { queue, ready + delayed + held, more }
    end
  end
end
local queues, whom = {}, ARGV[4] == '' and {} or { 't', ARGV[4] }

-- Sends a new task that is to run at once; nil where it is another, or is known.
local function submit_plain(at)
  local meta = given[ARGV[at + 3]] or read_given(ARGV[at + 3])
  local id, queue, m = ARGV[at], ARGV[at + 2], meta.__index
  local key = record_key(id)
  if not m.plain or redis.call('EXISTS', key) == 1 then
    return nil
  end
  if not queues[queue] then
    redis.call('SADD', P .. 'queues', queue)
    queues[queue] = true
  end
  local entry = redis.call(
    'XADD', stream_key(queue, m.priority), '*', 'i', id, 'n', ARGV[at + 1], 'm', m.entry, 'b', ARGV[at + 4]
  )
  redis.call(
    'HSET', key, 's', 'PENDING', 'a', '1', 'n', ARGV[at + 1], 'q', queue, 'c', m.sent, 'd', NOW_TEXT, 'e',
    receipt_of(m.priority, entry, queue), unpack(whom)
  )
  redis.call('PEXPIRE', key, WAIT_TEXT)
  return true
end

local answers = {}
for at = 5, #ARGV, WIDTH do
  local added
  if ARGV[1] ~= '1' then
    added = apart.publish(read_message(at))
  else
    added = submit_plain(at) or apart.submit(read_message(at), ARGV[2] == '1')
  end
  answers[#answers + 1] = added and 1 or 0
end
return answers

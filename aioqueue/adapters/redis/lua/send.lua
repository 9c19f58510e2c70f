--[[
send: add messages, all or none; with their records where broker and backend are this store.
Uses ground
Apart base, acts, entries, given, messages, count
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
    local m = apart.read_message(at)
    local key = m.tracked == '1' and P .. 't:' .. m.id or apart.message_key(m.id, m.attempt, m.hop)
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

local answers, queues, whom = {}, {}, ARGV[4] == '' and {} or { 't', ARGV[4] }
local meta, priority, sent
for at = 5, #ARGV, WIDTH do
  local id, queue, added = ARGV[at], ARGV[at + 2], true
  local key = P .. 't:' .. id
  if ARGV[at + 3] ~= meta then
    meta = ARGV[at + 3]
    -- plain is the first attempt of a task that has a record, and is to run at once
    priority, sent = string.match(meta, '^1 0 (%d) 1 0 0 (%S+)$')
  end
  if ARGV[1] ~= '1' then
    added = apart.publish(apart.read_message(at))
  elseif not priority or sent == '0.0' or redis.call('EXISTS', key) == 1 then
    added = apart.submit(apart.read_message(at), ARGV[2] == '1')
  else
    if not queues[queue] then
      redis.call('SADD', P .. 'queues', queue)
      queues[queue] = true
    end
    local entry = redis.call(
      'XADD', P .. 'q:' .. queue .. ':' .. priority, '*', 'i', id, 'n', ARGV[at + 1], 'm',
      '1 0 ' .. priority .. ' 1 0 0 0 ' .. sent, 'b', ARGV[at + 4]
    )
    redis.call(
      'HSET', key, 's', 'PENDING', 'a', '1', 'n', ARGV[at + 1], 'q', queue, 'c', sent, 'd', NOW_TEXT, 'e',
      priority .. '/' .. entry .. '/' .. queue, unpack(whom)
    )
    redis.call('PEXPIRE', key, WAIT_TEXT)
  end
  answers[#answers + 1] = added and 1 or 0
end
return answers

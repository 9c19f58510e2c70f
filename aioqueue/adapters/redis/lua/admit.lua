--[[
admit: add new tasks with their records, of which some claim unique keys, all or none but those that give way.
Uses base, acts, entries, given, messages, count, unique
Apart scope, joins, lasting, kept, nodes, flow, cancel
KEYS[1] prefix     of the namespace
ARGV[1] again      1: the same call may have been made before; a task of the same sending is then no copy
ARGV[2] limit      most messages a queue may hold, or -1
ARGV[3] tasks      8 values each: id, name, queue, meta, body, key or '', how, and the error with which a
                   workflow goes on in whose place the task ran that is replaced, '{id}' standing for its id.
                   how: until_done? ttl replace collapse, with ttl in ms, and ms for which what it replaces is
                   shown, and for which what it finds may be put off, or -1
Returns a list of 1, 0 for each copy or known id, or the id of the task that has its key; or, with nothing
written, one list: the name of a queue that is full, how many it holds and how many more there were.
]]
local again, limit, EACH = ARGV[1] == '1', tonumber(ARGV[2]), WIDTH + 3

-- Returns who has the key that a task wants, if it is new and another has it; and how it is claimed.
local function conflict(m, at)
  local unique = ARGV[at + WIDTH]
  if unique == '' or redis.call('EXISTS', record_key(m.id)) == 1 then
    return nil
  end
  local how = { unique = unique }
  how.done, how.ttl, how.replace, how.collapse =
    string.match(ARGV[at + WIDTH + 1], '^([01]) (%d+) (%S+) (%S+)$')
  how.ttl, how.replace, how.collapse = tonumber(how.ttl), tonumber(how.replace), tonumber(how.collapse)
  return holder_of(unique, m.id), how
end

-- Lets a task that waits for its first start run as a message says, at its moment.
local function collapse(id, m, how)
  local key = record_key(id)
  local record = redis.call('HMGET', key, 'q', 'e', 'l')
  apart.withdraw(id, record[1], 1, record[2])
  local due = put_off(how.unique, id, due_of(m), how.ttl)
  m.id, m.eta, m.delay, m.losses = id, due, 0, record[3] or '0'
  redis.call('HSET', key, 'q', m.queue, 'd', text(due), 'e', place(m))
  redis.call('PEXPIRE', key, text(math.max(due - NOW, 0) + OPEN_TTL))
end

if limit >= 0 then
  local new, seen = {}, {}
  for at = 3, #ARGV, EACH do
    local m, unique = read_message(at), ARGV[at + WIDTH]
    local key = m.tracked == '1' and record_key(m.id) or message_key(m.id, m.attempt, m.hop)
    local holder, how = conflict(m, at)
    local gives_way = how and how.replace < 0 and (holder or seen[' ' .. unique])
    if not seen[m.id] and not gives_way and redis.call('EXISTS', key) == 0 then
      new[m.queue] = (new[m.queue] or 0) + 1
      seen[' ' .. unique] = unique ~= ''
    end
    seen[m.id] = true
  end
  for queue, more in pairs(new) do
    local ready, delayed, held = count(queue)
    if more > 0 and ready + delayed + held + more > limit then
      return { { queue, ready + delayed + held, more } }
    end
  end
end

local answers = {}
for at = 3, #ARGV, EACH do
  local m = read_message(at)
  local holder, how = conflict(m, at)
  if holder and how.collapse >= 0 then
    collapse(holder, m, how)
  end
  if holder and how.replace < 0 then
    answers[#answers + 1] = holder
  else
    if holder then
      apart.cancel(holder, (string.gsub(ARGV[at + WIDTH + 2], '{id}', holder)), how.replace, false, false)
    end
    local added = submit(m, again)
    if added and how then
      take_key(how.unique, m.id, how.done, due_of(m), how.ttl, math.max(how.collapse, 0))
    end
    answers[#answers + 1] = added and 1 or 0
  end
end
return answers

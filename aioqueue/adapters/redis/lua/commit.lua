--[[
commit: end attempts that an owner has claimed; their messages are in another store. A workflow moves on by it.
Uses base, acts, scope, joins, lasting, kept, answers, flow
KEYS[1] prefix   of the namespace
ARGV[1] owner    its name
ARGV[2] endings  7 values each: id, meta, value, error, released, reason, least ms a final record is kept.
                 meta: attempt state ttl due value? error? buried?, with ttl in ms, due in ms or 0, and 1
                 or 0 for what is there; error without error? is for a workflow alone; one of STARTED goes on
                 as a workflow: value is its opening, error its outline, as start takes them
Returns a list of 0 where the owner no longer owns the task, 1 where it does, or the messages that its workflow
released, a row each: id, name, queue, meta, body. Its own repeat is answered alike.
]]
local owner = ARGV[1]

local function go_on(key, at)
  local opening = read_opening(ARGV[at + 2])
  redis.call('HSET', key, 'p', opening.workflow)
  redis.call('PEXPIRE', key, text(OPEN_TTL))
  open_flow(opening, ARGV[at + 3])
  note(key)
end

local function write(key, id, at, forgotten, place, losses, told)
  local attempt, state, ttl, due, has_value, has_error, buried =
    string.match(ARGV[at + 1], '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$')
  ttl = tonumber(ttl)
  -- HDEL first: it needs no memory
  redis.call('HDEL', key, 'v', 'x', 'y', 'z', 'u')
  redis.call('HSET', key, 's', state, 'r', ARGV[at + 4])
  if buried == '1' then
    redis.call('HSET', key, 'y', ARGV[at + 5])
  end
  if state == 'STARTED' then
    return go_on(key, at)
  elseif not FINAL[state] then
    redis.call('HSET', key, 'd', due)
    if has_error == '1' then
      redis.call('HSET', key, 'x', ARGV[at + 3])
    end
    local left = math.max(0, tonumber(due) - NOW) + OPEN_TTL
    redis.call('PEXPIRE', key, text(left))
    remember(id, due, has_error == '1' and ARGV[at + 3] or '', left)
    if told then
      expire_log(id, text(left))
    end
    if place then
      renew(id, place, tonumber(due))
    end
    return
  end
  local keep = math.max(ttl, tonumber(ARGV[at + 6]))
  redis.call('HSET', key, 'f', text(NOW), 'u', text(NOW + ttl))
  if not forgotten and ttl > 0 then
    -- a value that does not last as long as the record has a key of its own
    local holder = ttl < keep and P .. 'v:' .. id or key
    if has_value == '1' then
      redis.call('HSET', holder, 'v', ARGV[at + 2])
    end
    if has_error == '1' then
      redis.call('HSET', holder, 'x', ARGV[at + 3])
    end
    redis.call('PEXPIRE', holder, text(ttl))
  end
  redis.call('PEXPIRE', key, text(keep))
  if attempt ~= '1' or (losses or '0') ~= '0' then
    redis.call('PEXPIRE', P .. 'h:' .. id, text(forgotten and 0 or ttl))
  end
  if told then
    expire_log(id, text(forgotten and 0 or ttl))
  end
  if place then
    local value = has_value == '1' and ARGV[at + 2] or 'null'
    move_on(id, place, state, state == 'SUCCESS' and value or ARGV[at + 3], ttl)
    note(key)
  end
  tell(id)
end

local answers = {}
for at = 2, #ARGV, 7 do
  local key = record_key(ARGV[at])
  local attempt = string.match(ARGV[at + 1], '^%S+')
  local record = redis.call('HMGET', key, 's', 'a', 'o', 'g', 'z', 'p', 'l', 'k', 'i')
  local mine = record[1] and record[2] == attempt and record[3] == owner
  local opens = string.find(ARGV[at + 1], '^%S+ STARTED ') and read_opening(ARGV[at + 2]).workflow
  answered, ranges = {}, {}
  if mine and record[1] == 'STARTED' and not record[6] then
    local place = place_of(ARGV[at])
    mine = not called_off(place)
    if opens and not mine then
      discard(opens)
    elseif mine then
      write(key, ARGV[at], at, record[4], place, record[7], record[9])
      if record[8] and FINAL[string.match(ARGV[at + 1], '^%S+ (%S+)')] then
        free_key(record[8], ARGV[at])
      end
    end
  elseif mine and record[5] then
    answer_again(record[5])
  elseif opens and FINAL[record[1]] then
    discard(opens)
  end
  answers[#answers + 1] = answered[1] and answered or mine and 1 or 0
end
keep_moved()
return answers

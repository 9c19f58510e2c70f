--[[
claim: write STARTED for an owner whose messages are in another store; CANCELLED where a node of a workflow
can start no more.
Uses base, acts, scope, joins, lasting, kept, answers
KEYS[1] prefix      of the namespace
ARGV[1] owner       its name
ARGV[2] worker      the name written into records
ARGV[3] deliveries  6 values each: id, attempt, name, queue, sent, losses
Returns a row each: RUN and the losses; COMMITTED with what it released, the reason it was buried for, each ''
if there is none and else after a +, and what its workflow released, a row each: id, name, queue, meta, body;
BUSY and the milliseconds its owner's lease has left.
]]
local owner, worker = ARGV[1], ARGV[2]

local function start(key, at, known, losses, place)
  -- HDEL first: it needs no memory
  redis.call('HDEL', key, 'r', 'y', 'z', 'u')
  redis.call('HSET', key, 's', 'STARTED', 'a', ARGV[at + 1], 'o', owner, 'w', worker, 'b', text(NOW), 'l', losses)
  if not known then
    redis.call('HSET', key, 'n', ARGV[at + 2], 'q', ARGV[at + 3], 'c', ARGV[at + 4])
  end
  if place then
    local flow, n = part(ARGV[at])
    redis.call('HDEL', flow, 'b' .. n)
    renew(ARGV[at], place, NOW)
  end
  redis.call('PEXPIRE', key, text(OPEN_TTL))
  return { 'RUN', losses }
end

-- Returns that its attempt has ended: what that released, the reason it was buried for, and what it is to be answered
-- again; besides, what is told of the cancelled whole it was part of.
local function committed(id, released, buried, noted)
  answered = {}
  answer_again(noted or '')
  answer_told(id)
  return { 'COMMITTED', released and '+' .. released or '', buried and '+' .. buried or '', answered }
end

local function claim(at)
  local key, attempt = record_key(ARGV[at]), tonumber(ARGV[at + 1])
  local record = redis.call('HMGET', key, 's', 'a', 'o', 'l', 'r', 'y', 'z', 'p')
  local state, current, losses = record[1], tonumber(record[2] or '0'), record[4] or '0'
  local place = place_of(ARGV[at])
  if not state and not stopped(place) then
    return start(key, at, false, ARGV[at + 5], place)
  end
  local same = current == attempt
  -- one that was given back reads RETRY too, but nobody owns it; one that went on as a workflow runs no more
  if current > attempt or FINAL[state] or record[8] or (state == 'RETRY' and same and record[3]) then
    return committed(ARGV[at], same and record[5], same and record[6], same and record[7])
  end
  local own = state == 'STARTED' and same and record[3] == owner
  -- what was cancelled with its whole commits no more, whoever runs it
  if state == 'STARTED' and called_off(place) then
    bar(ARGV[at], 0, LATE)
    keep_moved()
    return committed(ARGV[at])
  end
  if state == 'STARTED' and same and not own then
    local left = redis.call('PTTL', P .. 'l:' .. record[3])
    if left > 0 then
      return { 'BUSY', text(left) }
    end
    losses = text(tonumber(losses) + 1)
    redis.call('HDEL', key, 'r', 'y', 'z', 'u')
    remember(ARGV[at], '', '', OPEN_TTL)
  end
  if not own and stopped(place) then
    bar(ARGV[at], 0, LATE)
    keep_moved()
    return committed(ARGV[at])
  end
  return start(key, at, true, losses, place)
end

local rows = {}
for at = 3, #ARGV, 6 do
  rows[#rows + 1] = claim(at)
end
return rows

--[[
put: creates records of tasks whose messages are in another store; uses base.
]]
local FIELDS = 6

-- Creates the PENDING record that six values describe: id, name, queue, attempt, sent or '', due in ms or ''. Tells
-- whether there is one now, and whether it is new.
local function put_record(at, follow)
  local key = record_key(ARGV[at])
  if follow then
    -- HDEL first, though of nothing: it needs no memory
    redis.call('HDEL', key, '-')
  end
  local state = redis.call('HGET', key, 's')
  if not state then
    redis.call('HSET', key, 's', 'PENDING', 'n', ARGV[at + 1], 'q', ARGV[at + 2], 'a', ARGV[at + 3])
    if ARGV[at + 4] ~= '' then
      redis.call('HSET', key, 'c', ARGV[at + 4])
    end
    if ARGV[at + 5] ~= '' then
      redis.call('HSET', key, 'd', ARGV[at + 5])
    end
    redis.call('PEXPIRE', key, text(math.max(0, (tonumber(ARGV[at + 5]) or 0) - NOW) + OPEN_TTL))
  end
  return not state or state == 'PENDING', not state
end

--[[
put: create PENDING records of tasks whose messages are in another store.
Uses base
KEYS[1] prefix   of the namespace
ARGV[1] follow   1: they belong to a task that has ended, and are taken at maxmemory too
ARGV[2] records  6 values each: id, name, queue, attempt, sent or '', due in ms or ''
Returns a list of 1, or 0 for each whose task has started or ended.
]]
local answers = {}
for at = 2, #ARGV, 6 do
  local key = record_key(ARGV[at])
  if ARGV[1] == '1' then
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
  answers[#answers + 1] = (not state or state == 'PENDING') and 1 or 0
end
return answers

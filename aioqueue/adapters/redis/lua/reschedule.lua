--[[
reschedule: give a task that waits for a moment another one.
Uses base, acts, entries, messages, scope, joins, promote, moment
KEYS[1] prefix  of the namespace
ARGV[1] here    1: its message is in this store and is moved too; 0: it is in another one
ARGV[2] id      of the task
ARGV[3] eta     milliseconds, and
ARGV[4] delay   milliseconds from now: the later of both
Returns RESCHEDULED, its queue, and its attempt or the one before; or NOT_WAITING, ALREADY_DONE, NOT_FOUND.
]]
local id, key = ARGV[2], record_key(ARGV[2])
local due = math.max(tonumber(ARGV[3]), NOW + tonumber(ARGV[4]))
local record = redis.call('HMGET', key, 's', 'q', 'a', 'd', 'g', 'u')
local state, place = record[1], place_of(id)
if record[5] or (record[6] and tonumber(record[6]) <= NOW) or not (state or place) then
  return { 'NOT_FOUND' }
elseif FINAL[state] or (state ~= 'STARTED' and stopped(place)) or called_off(place) then
  return { 'ALREADY_DONE' }
end
local waits = (state == 'PENDING' or state == 'RETRY') and record[4]
if not waits or (ARGV[1] == '1' and not move_message(record[2], id, tonumber(record[3]), due)) then
  return { 'NOT_WAITING' }
end
redis.call('HSET', key, 'd', text(due))
redis.call('PEXPIRE', key, text(math.max(redis.call('PTTL', key), due - NOW + OPEN_TTL)))
redis.call('PEXPIRE', P .. 'h:' .. id, text(redis.call('PTTL', key)))
if place then
  renew(id, place, due)
end
return { 'RESCHEDULED', record[2], record[3] }

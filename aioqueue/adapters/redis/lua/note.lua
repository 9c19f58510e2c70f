--[[
note: add to the log of a task what a run of it tells.
Uses base, acts, scope
KEYS[1] prefix   of the namespace
ARGV[1] id       of the task
ARGV[2] attempt  that is run
ARGV[3] owner    who runs it
ARGV[4] first    how many notes of this run were written before
ARGV[5] most     values that are kept, bytes of them, and progress
ARGV[6] notes    2 values each: 1 for a value, 0 for progress; data
Returns 1, or 0 where that run is not this owner's, or nobody may read of it.
]]
local id, first = ARGV[1], tonumber(ARGV[4])
local key, values, progress = record_key(id), P .. 'e:' .. id, P .. 'y:' .. id
local record = redis.call('HMGET', key, 's', 'a', 'o', 'g', 'p', 'l', 'b', 'i')
local mine = record[1] == 'STARTED' and record[2] == ARGV[2] and record[3] == ARGV[3]
if not mine or record[4] or record[5] or called_off(place_of(id)) then
  return 0
end
local run = table.concat({ ARGV[2], record[6] or '0', record[7] or '0' }, ' ')

-- Returns an entry's number, its run, how many notes of it there were with this one, and bytes of values.
local function counts(entry)
  local run, written, size = string.match(entry[2][2], '^(%d+ %d+ %d+) %d+ (%d+) (%d+)$')
  return tonumber(string.sub(entry[1], 3)), run, tonumber(written), tonumber(size)
end

local number, written, size = 0, 0, 0
for _, letter in ipairs({ 'e', 'y' }) do
  local last = redis.call('XREVRANGE', P .. letter .. ':' .. id, '+', '-', 'COUNT', 1)[1]
  local n, its, count, bytes
  if last then
    n, its, count, bytes = counts(last)
  end
  if n and n > number then
    number, written, size = n, its == run and count or 0, bytes
  end
end

-- first of all, as it needs no memory: what runs at maxmemory is to end, and does so once this is written
redis.call('HDEL', key, 'v')
local most_values, most_bytes, most_progress = string.match(ARGV[5], '^(%d+) (%d+) (%d+)$')
for at = 6 + 2 * math.max(0, written - first), #ARGV, 2 do
  local is_value, data = ARGV[at] == '1', ARGV[at + 1]
  number, written, size = number + 1, written + 1, size + (is_value and #data or 0)
  local head = table.concat({ run, NOW_TEXT, written, text(size) }, ' ')
  if is_value then
    redis.call('XADD', values, '0-' .. text(number), 'h', head, 'd', data)
  else
    redis.call('XADD', progress, 'MAXLEN', most_progress, '0-' .. text(number), 'h', head, 'd', data)
  end
end

-- of earlier runs the oldest values make room
for _ = 1, 1000 do
  local oldest = redis.call('XRANGE', values, '-', '+', 'COUNT', 1)[1]
  local _, its, _, bytes = 0, run, 0, 0
  if oldest then
    _, its, _, bytes = counts(oldest)
  end
  local many = redis.call('XLEN', values) > tonumber(most_values)
  if its == run or not (many or size - bytes + #oldest[2][4] > tonumber(most_bytes)) then
    break
  end
  redis.call('XDEL', values, oldest[1])
end
if not record[8] then
  redis.call('HSET', key, 'i', '1')
end
expire_log(id, text(redis.call('PTTL', key)))
say('log:' .. id, '')
return 1

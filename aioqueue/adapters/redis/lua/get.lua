--[[
get: read records that may be shown.
Uses base
KEYS[1] prefix  of the namespace
ARGV[1] ids     of the tasks
Returns a list each: state, attempt, name, queue, sent, due, begun, finished, worker, losses, value, error;
empty for one that is unknown, hidden or past its time.
]]
local rows = {}
for i = 1, #ARGV do
  local row = redis.call(
    'HMGET', record_key(ARGV[i]), 's', 'a', 'n', 'q', 'c', 'd', 'b', 'f', 'w', 'l', 'v', 'x', 'g', 'u'
  )
  local shown_until = tonumber(row[14] or 'nan')
  if not row[1] or row[13] or (row[14] and shown_until <= NOW) then
    row = {}
  elseif row[14] and not row[11] and not row[12] then
    local kept = redis.call('HMGET', P .. 'v:' .. ARGV[i], 'v', 'x')
    row[11], row[12] = kept[1], kept[2]
  end
  rows[i] = row
end
return rows

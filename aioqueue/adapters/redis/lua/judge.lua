--[[
judge: find consumers whose lease is gone.
Uses base
KEYS[1] prefix  of the namespace
ARGV[1] calm    milliseconds for which leases could be kept; who has a longer one is not judged
Returns their names.
]]
local lost = {}
local all = redis.call('HGETALL', P .. 'consumers')
for i = 1, #all, 2 do
  local lease = tonumber(string.match(all[i + 1], '^%d+'))
  if lease <= tonumber(ARGV[1]) and redis.call('EXISTS', P .. 'l:' .. all[i]) == 0 then
    lost[#lost + 1] = all[i]
  end
end
return lost

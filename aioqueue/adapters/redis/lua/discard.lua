--[[
discard: drop dead letters.
Uses base, acts
KEYS[1] prefix  of the namespace
ARGV[1] keys    of the letters
Returns how many there were.
]]
local gone = 0
for i = 1, #ARGV do
  gone = gone + drop_some(redis.call('XRANGE', P .. 'dead', ARGV[i], ARGV[i]))
end
return gone

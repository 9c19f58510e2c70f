--[[
release: give deliveries back, nothing counted, before what waits.
Uses base, acts, entries, messages, scope, joins, lasting, kept, nodes, flow, unreadable, hand_on
KEYS[1] prefix    of the namespace
ARGV[1] consumer  its name
ARGV[2] delay     milliseconds they are not handed out for
ARGV[3] receipts  of the deliveries
Returns how many were given back.
]]
local given = 0
for i = 3, #ARGV do
  local lane, entry, queue = where(ARGV[i])
  if holds(stream_key(queue, lane), entry, ARGV[1]) then
    given = given + hand_on(lane, entry, queue, ARGV[1], tonumber(ARGV[2]), false)
  end
end
return given

--[[
remove: forget messages that still wait where they were found; nothing is written about their tasks.
Uses base, acts, entries, messages
KEYS[1] prefix  of the namespace
ARGV[1] places  2 values each: queue and place, of a ready one lane/entry/queue, of a delayed one its moment and member
Returns how many there were.
]]
local gone = 0
for at = 1, #ARGV, 2 do
  local queue, place = ARGV[at], ARGV[at + 1]
  local lane, entry = where(place)
  if lane then
    local stream = stream_key(queue, lane)
    local held = redis.pcall('XPENDING', stream, 'w', entry, entry, 1)
    local f = (held.err or not held[1]) and entry_at(stream, entry)
    if f then
      redis.call('XDEL', stream, entry)
      local m = unpack_entry(f, queue)
      if m then
        unmark(m)
      end
      gone = gone + 1
    end
  else
    local member = string.match(place, '^%d+ (.*)$')
    if member and forget_delayed(queue, member) then
      gone = gone + 1
    end
  end
end
return gone

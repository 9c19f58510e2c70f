--[[
settle: forget deliveries and publish what follows, where records are in another store.
Uses base, acts, entries, given, messages
KEYS[1] prefix       of the namespace
ARGV[1] consumer     its name
ARGV[2] settlements  each: receipt, buried (1 or 0), reason, number of followers, then those, 5 values each
Returns a list of 1, or 0 where this consumer does not hold the delivery.
]]
local answers, at = {}, 2
while at <= #ARGV do
  local lane, entry, queue = where(ARGV[at])
  local buried, reason, followers = ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local first = at + 4
  at = first + followers * WIDTH
  local stream = stream_key(queue, lane)
  local held = holds(stream, entry, ARGV[1])
  if held then
    -- nil where somebody has deleted it
    local f = entry_at(stream, entry)
    local m = f and unpack_entry(f, queue)
    forget_entry(stream, entry)
    if m then
      unmark(m)
    end
    if buried == '1' then
      bury(m or unreadable(f or {}, queue), reason)
    end
    for i = 0, followers - 1 do
      publish(read_message(first + i * WIDTH))
    end
  end
  answers[#answers + 1] = held and 1 or 0
end
return answers

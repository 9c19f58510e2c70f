--[[
move: give a delayed message another moment; its record is in another store.
Uses base, acts, entries, messages, promote, moment
KEYS[1] prefix   of the namespace
ARGV[1] queue    in which it waits
ARGV[2] id       of the task
ARGV[3] attempt  of the message, or the one before
ARGV[4] eta      milliseconds, and
ARGV[5] delay    milliseconds from now: the later of both
Returns 1, or 0 where none is delayed.
]]
local due = math.max(tonumber(ARGV[4]), NOW + tonumber(ARGV[5]))
return move_message(ARGV[1], ARGV[2], tonumber(ARGV[3]), due) and 1 or 0

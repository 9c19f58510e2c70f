--[[
trim: drop dead letters that are too old, at most 100.
Uses base, acts
KEYS[1] prefix  of the namespace
ARGV[1] age     of a dead letter, in milliseconds
Returns how many were dropped.
]]
return drop_letters(text(NOW - tonumber(ARGV[1])), 100)

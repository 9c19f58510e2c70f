--[[
trim: drop dead letters that are too old, at most 100, and tell what else upkeep is to do.
Uses base
KEYS[1] prefix  of the namespace
ARGV[1] age     of a dead letter, in milliseconds
Returns how many were dropped; 1 or 0 for whether workflows have left some to be let go of; the same for limits.
]]
local dropped = drop_letters(text(NOW - tonumber(ARGV[1])), 100)
return { dropped, redis.call('EXISTS', P .. 'rest'), redis.call('EXISTS', P .. 'limits') }

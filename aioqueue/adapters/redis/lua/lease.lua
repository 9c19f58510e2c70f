--[[
lease: begin an owner's lease.
Uses base, acts
KEYS[1] prefix  of the namespace
ARGV[1] owner   its name
ARGV[2] lease   in milliseconds
Returns nothing.
]]
begin_lease(ARGV[1], ARGV[2])

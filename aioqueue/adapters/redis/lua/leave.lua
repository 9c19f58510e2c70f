--[[
leave: free the slots of what a consumer does not hold any more, and wake as many that are parked for them.
Uses base, acts, entries, messages, promote, limits
KEYS[1] prefix    of the namespace
ARGV[1] consumer  its name
ARGV[2] slots     each: scope, receipt
Returns nothing.
]]
for i = 2, #ARGV, 2 do
  if free_slot(ARGV[i], ARGV[1], ARGV[i + 1]) then
    wake(ARGV[i], 1)
  end
end

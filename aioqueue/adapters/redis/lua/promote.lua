--[[
promote: make ready what is due, at most 200 messages.
Uses base, acts, entries, messages, promote
KEYS[1] prefix  of the namespace
ARGV[1] queues  names
Returns the moment it is now, and the moment the next one is due, or '' if none is delayed.
]]
local queues = {}
for i = 1, #ARGV do
  queues[i] = ARGV[i]
end
local next_due = promote(queues, PROMOTED)
return { text(NOW), next_due }

--[[
groups: make the groups that queues are read by, where they are missing.
Uses base
KEYS[1] prefix  of the namespace
ARGV[1] queues  names
Returns nothing.
]]
for i = 1, #ARGV do
  for _, lane in ipairs(LANES) do
    -- an error says that the group is there; from 0, so that nothing is passed over
    redis.pcall('XGROUP', 'CREATE', stream_key(ARGV[i], lane), 'w', '0', 'MKSTREAM')
  end
end

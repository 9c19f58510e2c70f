--[[
groups: make the groups that queues are read by, where they are missing.
Uses base, acts
KEYS[1] prefix  of the namespace
ARGV[1] queues  names
Returns nothing.
]]
for i = 1, #ARGV do
  for _, lane in ipairs(LANES) do
    make_group(stream_key(ARGV[i], lane))
  end
end

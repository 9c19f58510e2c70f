--[[
enter: begin a consumer's lease and make the groups it reads from.
Uses base, acts
KEYS[1] prefix    of the namespace
ARGV[1] consumer  its name
ARGV[2] lease     in milliseconds
ARGV[3] queues    names
Returns nothing.
]]
begin_lease(ARGV[1], ARGV[2])
local entered = ARGV[2]
for i = 3, #ARGV do
  entered = entered .. '\n' .. ARGV[i]
  redis.call('SADD', P .. 'queues', ARGV[i])
  for _, lane in ipairs(LANES) do
    make_group(stream_key(ARGV[i], lane))
  end
end
redis.call('HSET', P .. 'consumers', ARGV[1], entered)

--[[
enter: begin a consumer's lease and make the groups it reads from.
Uses base
KEYS[1] prefix    of the namespace
ARGV[1] consumer  its name
ARGV[2] lease     in milliseconds
ARGV[3] queues    names
Returns nothing.
]]
local lease = P .. 'l:' .. ARGV[1]
-- DEL first: it needs no memory
redis.call('DEL', lease)
redis.call('SET', lease, '', 'PX', ARGV[2])
local entered = ARGV[2]
for i = 3, #ARGV do
  entered = entered .. '\n' .. ARGV[i]
  redis.call('SADD', P .. 'queues', ARGV[i])
  for _, lane in ipairs(LANES) do
    -- an error says that the group is there
    redis.pcall('XGROUP', 'CREATE', stream_key(ARGV[i], lane), 'w', '0', 'MKSTREAM')
  end
end
redis.call('HSET', P .. 'consumers', ARGV[1], entered)

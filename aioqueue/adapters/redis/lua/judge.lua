--[[
judge: find consumers whose lease is gone, and those nobody knows any more that hold something; and what else there
is for upkeep to do.
Uses ground, base
KEYS[1] prefix  of the namespace
ARGV[1] calm    milliseconds for which leases could be kept; who has a longer one is not judged
ARGV[2] age     of a dead letter that is to be dropped, in milliseconds
Returns their names; 1 or 0 for whether there are such letters; the same for workflows that have left some to be let go
of; and for limits.
]]
-- a read that outlived its consumer may have been handed a message since
local function strays(lost)
  local seen = {}
  for _, queue in ipairs(redis.call('SMEMBERS', P .. 'queues')) do
    for _, lane in ipairs(LANES) do
      local stream = stream_key(queue, lane)
      local readers = redis.call('XLEN', stream) > 0 and redis.pcall('XINFO', 'CONSUMERS', stream, 'w') or {}
      for _, reader in ipairs(readers.err and {} or readers) do
        local name = string.gsub(fields(reader).name, '%.wait$', '')
        if not seen[name] and redis.call('HEXISTS', P .. 'consumers', name) == 0 then
          lost[#lost + 1] = name
        end
        seen[name] = true
      end
    end
  end
end

local lost = {}
local all = redis.call('HGETALL', P .. 'consumers')
for i = 1, #all, 2 do
  local lease = tonumber(string.match(all[i + 1], '^%d+'))
  if lease <= tonumber(ARGV[1]) and redis.call('EXISTS', P .. 'l:' .. all[i]) == 0 then
    lost[#lost + 1] = all[i]
  end
end
strays(lost)
local old = #redis.call('XRANGE', P .. 'dead', '-', text(NOW - tonumber(ARGV[2])), 'COUNT', 1)
return { lost, old, redis.call('EXISTS', P .. 'rest'), redis.call('EXISTS', P .. 'limits') }

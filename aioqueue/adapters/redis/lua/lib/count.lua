--[[
count: counts what a queue holds; uses base.
]]

-- Returns how many messages are ready, delayed and held.
local function count(queue)
  local ready, held = 0, 0
  for _, lane in ipairs(LANES) do
    local stream = stream_key(queue, lane)
    local length = redis.call('XLEN', stream)
    if length > 0 then
      local pending = redis.pcall('XPENDING', stream, 'w')
      local lent = pending.err and 0 or math.min(pending[1], length)
      ready, held = ready + length - lent, held + lent
    end
  end
  local waiting = P .. 'd:' .. queue
  local due = redis.call('ZCOUNT', waiting, '-inf', text(NOW))
  return ready + due, redis.call('ZCARD', waiting) - due, held
end

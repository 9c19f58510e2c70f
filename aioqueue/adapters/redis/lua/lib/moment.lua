--[[
moment: gives delayed messages another one; uses base, entries, messages, promote.
]]

-- Moves the delayed message of an attempt, or of the next one; tells whether there was any. due: ms.
local function move_message(queue, id, attempt, due)
  local waiting = P .. 'd:' .. queue
  for number = attempt, attempt + 1 do
    local member = id .. '/' .. text(number) .. '/0'
    local score = redis.call('ZSCORE', waiting, member)
    if score and tonumber(score) > NOW then
      if due <= NOW then
        make_ready(waiting, member, queue)
      else
        redis.call('ZADD', waiting, text(due), member)
        redis.call('PEXPIRE', P .. 'm:' .. member, text(due - NOW + OPEN_TTL))
        if redis.call('ZRANGE', waiting, 0, 0)[1] == member then
          say('due:' .. queue, text(due))
        end
      end
      return true
    end
  end
  return false
end

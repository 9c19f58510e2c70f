--[[
unique: claims unique keys; uses base.
]]

-- Returns the task that has a key which *id* wants, or nil where no other has it. Its record tells: a key is in
-- nobody's hands once its task has ended, or has started where that is enough.
local function holder_of(unique, id)
  local done, holder = string.match(redis.call('GET', P .. 'u:' .. unique) or '', '^([01]) (%S+)')
  if not holder or holder == id then
    return nil
  end
  local record = redis.call('HMGET', record_key(holder), 's', 'a', 'k')
  if not record[1] or FINAL[record[1]] or record[3] ~= unique then
    return nil
  end
  local waits = record[1] == 'PENDING' and record[2] == '1'
  return (done == '1' or waits) and holder or nil
end

local function write_claim(unique, id, done, due, ttl, latest)
  local claim = table.concat({ done, id, text(latest) }, ' ')
  redis.call('SET', P .. 'u:' .. unique, claim, 'PX', text(math.max(1, math.max(due, NOW) - NOW + ttl)))
end

-- Lets a new task have a key, whoever has had it. done: '1' until it has ended. ttl: ms past *due*. collapse: ms past
-- now at which it is due at the latest, however often it is put off.
local function take_key(unique, id, done, due, ttl, collapse)
  write_claim(unique, id, done, due, ttl, math.max(due, NOW + collapse))
  redis.call('HSET', record_key(id), 'k', unique)
end

-- Lets who has a key be due at another moment, as far as it may be put off; returns the moment.
local function put_off(unique, id, due, ttl)
  local latest = tonumber(string.match(redis.call('GET', P .. 'u:' .. unique), ' (%d+)$'))
  write_claim(unique, id, '0', math.min(due, latest), ttl, latest)
  return math.min(due, latest)
end

--[[
unreadable: ends what no message can be made of; uses base, acts, entries, messages, scope, flow.
]]
local UNREADABLE = 'unreadable: this is no message of a version that is known here'

-- Buries an entry that cannot be read, so that it stops nobody; its task, if there is one, has failed.
local function bury_unreadable(stream, entry, queue, f)
  local m = unreadable(f, queue)
  forget_entry(stream, entry)
  bury(m, UNREADABLE)
  local key = record_key(m.id)
  local record, place = redis.call('HMGET', key, 's', 'p'), place_of(m.id)
  local state = record[1]
  if FINAL[state] or record[2] or not (state or place) then
    return
  end
  if state then
    redis.call('HSET', key, 's', 'FAILURE', 'f', text(NOW))
    redis.call('PEXPIRE', key, text(DAY))
  end
  if place then
    move_on(m.id, place, 'FAILURE', '{"type":"DecodeError","message":"' .. UNREADABLE .. '"}', DAY)
    keep_moved()
  end
  tell(m.id)
end

--[[
endings: what the endings of a script have in common that are not plain: their metas, and how they are forgotten, written
and told of; uses base, held.
]]
-- What has been read of the metas of endings, which are mostly alike.
local ends = {}

-- Returns what a meta says.
local function read_end(meta)
  local e, ttl, due, followers = {}, nil, nil, nil
  e.attempt, e.hop, e.state, e.tracked, e.marked, e.held, e.losses, ttl, due, e.has_value, e.has_error, e.buried,
    e.does_open, followers =
    string.match(meta, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$')
  e.ttl, e.due, e.followers = tonumber(ttl), tonumber(due), tonumber(followers)
  e.keep, e.behind = text(e.ttl), { __index = e }
  ends[meta] = e
  return e
end

-- Tells whether the consumer holds an entry.
local function is_held(stream, entry)
  local mine = held[stream]
  if mine then
    return mine[entry]
  end
  return holds(stream, entry, me)
end

-- Forgets an entry, the first at once and others together. XACK is first of all, as a script whose first write needs no
-- memory is let through at maxmemory.
local function forget(stream, entry)
  if held[stream] then
    held[stream][entry] = nil
  end
  if forgotten_first then
    local entries = forgotten[stream] or {}
    forgotten[stream] = entries
    entries[#entries + 1] = entry
    return
  end
  forgotten_first = true
  forget_entry(stream, entry)
end

-- Tells of the end of a task: whoever waits for it, and its sender, if it has one, by the moment it was sent.
local function tell_all(id, sender, sent, told)
  say('done:' .. id, told)
  if sender then
    say('to:' .. sender, id .. ' ' .. (sent or '') .. '\n' .. (#told <= TOLD_ITS_SENDER and told or ''))
  end
end

-- Writes that an only attempt has succeeded: whose it is stands there already. Returns what is told of it.
local function write_success(key, value, keep, begun, worker, losses)
  redis.call('HSET', key, 's', 'SUCCESS', 'v', value, 'f', NOW_TEXT)
  redis.call('PEXPIRE', key, keep)
  if #value <= TOLD and not (worker and string.find(worker, '\n', 1, true)) then
    return 'SUCCESS ' .. begun .. ' ' .. NOW_TEXT .. ' ' .. (losses or '0') .. ' ' .. (worker or '') .. '\n' .. value
  end
  return ''
end

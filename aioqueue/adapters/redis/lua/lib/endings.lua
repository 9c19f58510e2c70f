--[[
endings: what is asked at once for all endings of a script: which entries are held, and that those are forgotten; uses
base.
]]
local me
local HELD_MOST = 1000

-- What has been read of the metas of endings, which are mostly alike.
local ends = {}

-- Returns what a meta says. plain: an only attempt has succeeded, and nothing follows; how often it was lost and what
-- else is known of it, its record says.
local function read_end(meta)
  local e, ttl, due, followers = {}, nil, nil, nil
  e.attempt, e.hop, e.state, e.tracked, e.marked, e.held, e.losses, ttl, due, e.has_value, e.has_error, e.buried,
    e.does_open, followers =
    string.match(meta, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$')
  e.ttl, e.due, e.followers = tonumber(ttl), tonumber(due), tonumber(followers)
  e.plain = e.state == 'SUCCESS' and e.attempt == '1' and e.losses == '0' and e.tracked == '1' and e.marked == '0'
    and e.has_value == '1' and e.has_error == '0' and e.buried == '0' and e.does_open == '0' and e.followers == 0
    and e.ttl > 0
  e.keep, e.behind = text(e.ttl), { __index = e }
  ends[meta] = e
  return e
end

-- Tells whether an entry was added after another, where that is seen at once; as both have 13 digits before the dash
-- until the year 2286, those of the same length are in the order of their texts.
local function is_after(entry, other)
  return #entry == #other and entry > other and string.byte(entry, 14) == 45 and string.byte(other, 14) == 45
end

local function is_before(entry, other)
  local at, number = string.match(entry, '^(%d+)-(%d+)$')
  local other_at, other_number = string.match(other, '^(%d+)-(%d+)$')
  if at == other_at then
    return tonumber(number) < tonumber(other_number)
  end
  return tonumber(at) < tonumber(other_at)
end

-- First and last entry of each stream that endings are of; and entries that are held, a stream each.
local first, last, held = {}, {}, {}

-- Notes that one of the endings is of this entry.
local function ends_here(stream, entry)
  if not last[stream] then
    first[stream], last[stream] = entry, entry
  elseif is_after(entry, last[stream]) then
    last[stream] = entry
  elseif is_before(last[stream], entry) then
    last[stream] = entry
  elseif is_before(entry, first[stream]) then
    first[stream] = entry
  end
end

-- Looks at once which of the entries the consumer holds whose the endings are.
local function look(consumer)
  me = consumer
  for stream, entry in pairs(first) do
    local mine = redis.pcall('XPENDING', stream, 'w', entry, last[stream], HELD_MOST, me)
    local found = {}
    for _, item in ipairs(mine.err and {} or mine) do
      found[item[1]] = true
    end
    -- of more than that it is not known
    held[stream] = #mine < HELD_MOST and found or nil
  end
end

local function is_held(stream, entry)
  local mine = held[stream]
  if mine then
    return mine[entry]
  end
  return holds(stream, entry, me)
end

local forgotten, forgotten_first = {}, false

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

local function write_forgotten()
  for stream, entries in pairs(forgotten) do
    redis.call('XACK', stream, 'w', unpack(entries))
    redis.call('XDEL', stream, unpack(entries))
  end
end

-- Bytes up to which a sender is told what others are: it may not wait at all.
local TOLD_ITS_SENDER = 4096

-- Tells of the end of a task: whoever waits for it, and its sender, if it has one, by the moment it was sent.
local function tell_all(id, sender, sent, told)
  say('done:' .. id, told)
  if sender then
    say('to:' .. sender, id .. ' ' .. (sent or '') .. '\n' .. (#told <= TOLD_ITS_SENDER and told or ''))
  end
end

-- Bytes of a value up to which who waits is told it, beside the moments; of others they read the record.
local TOLD = 65536

-- Writes that an only attempt has succeeded: whose it is stands there already. Returns what is told of it.
local function write_success(key, value, keep, begun, worker, losses)
  redis.call('HSET', key, 's', 'SUCCESS', 'v', value, 'f', NOW_TEXT)
  redis.call('PEXPIRE', key, keep)
  if #value <= TOLD and not (worker and string.find(worker, '\n', 1, true)) then
    return 'SUCCESS ' .. begun .. ' ' .. NOW_TEXT .. ' ' .. (losses or '0') .. ' ' .. (worker or '') .. '\n' .. value
  end
  return ''
end

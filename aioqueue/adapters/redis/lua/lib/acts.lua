--[[
acts: small acts on entries, leases, letters, histories and logs, which what is plain does not need; uses base.
]]
-- Returns the fields of an entry, or nil if it is gone.
local function entry_at(stream, entry)
  local found = redis.call('XRANGE', stream, entry, entry)
  return found[1] and fields(found[1][2])
end

-- Begins a lease; DEL first, as it needs no memory.
local function begin_lease(owner, lease)
  local key = P .. 'l:' .. owner
  redis.call('DEL', key)
  redis.call('SET', key, '', 'PX', lease)
end

-- Makes the group of a stream if it is missing; from 0, so that nothing is passed over.
local function make_group(stream)
  local made = redis.pcall('XGROUP', 'CREATE', stream, 'w', '0', 'MKSTREAM')
  if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then
    error(made.err, 0)
  end
end

local DEAD = 10000

-- Drops dead letters, given with their fields; returns how many.
local function drop_some(letters)
  for _, letter in ipairs(letters) do
    local queue = fields(letter[2]).q
    redis.call('XDEL', P .. 'dead', letter[1])
    if redis.call('HINCRBY', P .. 'buried', queue, -1) <= 0 then
      redis.call('HDEL', P .. 'buried', queue)
    end
  end
  return #letters
end

-- Drops at most *count* of the oldest dead letters, up to an entry; returns how many.
local function drop_letters(last, count)
  return drop_some(redis.call('XRANGE', P .. 'dead', '-', last, 'COUNT', count))
end

local HISTORY = 20

-- Remembers that an attempt on record has ended and was not the last; without an error it was lost. keep: ms.
local function remember(id, due, error, keep)
  local key, record = P .. 'h:' .. id, redis.call('HMGET', record_key(id), 'a', 'b', 'w')
  local worker = record[3] or ''
  local moments = table.concat({ record[1] or '1', record[2] or '', text(NOW), due, #worker }, ' ')
  redis.call('RPUSH', key, moments .. '\n' .. worker .. error)
  redis.call('LTRIM', key, -HISTORY, -1)
  redis.call('PEXPIRE', key, text(keep))
end

-- Keeps what the runs of a task have told for that long, ms.
local function expire_log(id, keep)
  redis.call('PEXPIRE', P .. 'e:' .. id, keep)
  redis.call('PEXPIRE', P .. 'y:' .. id, keep)
end

-- Drops the claim of a task that has ended, unless another has claimed its key since. The record tells already
-- that it is free: this keeps the claim from lying there until its time is over.
local function free_key(unique, id)
  local claim = redis.call('GET', P .. 'u:' .. unique)
  if claim and string.match(claim, '^%d (%S+)') == id then
    redis.call('DEL', P .. 'u:' .. unique)
  end
end

local function tell(id)
  say('done:' .. id, '')
end

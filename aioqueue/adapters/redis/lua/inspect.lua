--[[
inspect: read a page of what is in a queue, in the order in which it comes up.
Uses base, acts, entries, messages, promote
KEYS[1] prefix  of the namespace
ARGV[1] queue   its name
ARGV[2] where   pending, delayed or running
ARGV[3] after   the place the page before ended at, or ''
ARGV[4] limit   most entries
ARGV[5] bodies  1: with them
Returns a row each: place, id, name, meta, body or '', due in ms or '', the consumer that holds it or ''.
]]
local queue, where_, after, limit = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local rows = {}

local function add(place, f, due, holder)
  local m = unpack_entry(f, queue)
  if not m then
    m = unreadable(f, queue)
    -- its task, if there is one, is to be told of
    m.tracked = m.id == '' and '0' or '1'
  end
  rows[#rows + 1] = { place, m.id, m.name, pack_meta(m), ARGV[5] == '1' and m.body or '', due, holder }
end

-- Tells whether an entry id is greater than another.
local function later(one, other)
  local a, b = string.match(one, '^(%d+)-(%d+)$')
  local c, d = string.match(other, '^(%d+)-(%d+)$')
  a, b, c, d = tonumber(a), tonumber(b), tonumber(c), tonumber(d)
  return a > c or (a == c and b > d)
end

-- Returns the last entry of a stream that was handed out.
local function handed(stream)
  local groups = redis.pcall('XINFO', 'GROUPS', stream)
  for _, group in ipairs(groups.err and {} or groups) do
    local found = fields(group)
    if found.name == 'w' then
      return found['last-delivered-id']
    end
  end
  return '0-0'
end

local function add_pending(stream, lane, first)
  local last = handed(stream)
  local start = first and later(first, last) and first or last
  for _, entry in ipairs(redis.call('XRANGE', stream, '(' .. start, '+', 'COUNT', limit - #rows)) do
    add(receipt_of(lane, entry[1], queue), fields(entry[2]), '', '')
  end
end

local function add_running(stream, lane, first)
  local held = redis.pcall('XPENDING', stream, 'w', first and '(' .. first or '-', '+', limit - #rows)
  for _, item in ipairs(held.err and {} or held) do
    local f = entry_at(stream, item[1])
    if f then
      add(receipt_of(lane, item[1], queue), f, '', item[2])
    end
  end
end

local function add_lanes(add_lane)
  local lane, entry = where(after)
  local beyond = not lane
  for _, each in ipairs(LANES) do
    local here = each == lane
    local stream = stream_key(queue, each)
    if (beyond or here) and #rows < limit and redis.call('XLEN', stream) > 0 then
      add_lane(stream, each, here and entry or nil)
    end
    beyond = beyond or here
  end
end

-- Returns the rank of the first delayed message behind a moment and a member.
local function rank_behind(waiting, due, member)
  local low, high = 0, redis.call('ZCARD', waiting)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local found = redis.call('ZRANGE', waiting, middle, middle, 'WITHSCORES')
    local score = tonumber(found[2])
    if score < due or (score == due and found[1] <= member) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

local function add_delayed()
  local waiting = P .. 'd:' .. queue
  local due, member = string.match(after, '^(%d+) (.*)$')
  local rank = due and rank_behind(waiting, tonumber(due), member) or 0
  local found = redis.call('ZRANGE', waiting, rank, rank + limit - 1, 'WITHSCORES')
  for i = 1, #found, 2 do
    local f = fields(redis.call('HGETALL', P .. 'm:' .. found[i]))
    if f.b then
      local moment = text(tonumber(found[i + 1]))
      add(moment .. ' ' .. found[i], f, moment, '')
    end
  end
end

promote({ queue }, 100)
if limit > 0 and where_ == 'pending' then
  add_lanes(add_pending)
elseif limit > 0 and where_ == 'running' then
  add_lanes(add_running)
elseif limit > 0 then
  add_delayed()
end
return rows

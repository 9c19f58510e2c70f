--[[
fetch: hand out messages and write that they have begun; a consumer whose lease has lapsed gets none.
Uses ground, handed
Apart base, acts, entries, turns, begin, messages, promote, scope, joins, lasting, kept, nodes, flow, unreadable, hand_on, handing
KEYS[1] prefix    of the namespace
ARGV[1] begins    1: records are here, write STARTED in them, but for tasks whose names follow, a line each: those
                  begin when they are admitted; 0: they are not
ARGV[2] consumer  its name
ARGV[3] worker    the name written into records
ARGV[4] limit     most deliveries
ARGV[5] look      the queue and lane, queue:lane, of which a blocking read has brought something, which
                  <consumer>.wait holds; 1: it may be any; 0: none
ARGV[6] audit     how many receipts follow, all that the consumer knows to hold, or -1: what it holds
                  beside them was lost on its way and is handed out again
ARGV[7] rest      those receipts, then of each group of queues its turn (weight, credit, passed, at, how many
                  queues) and their names: first of all a turn, where no receipts are
ARGV[8] queue     then the first name; and so on
Returns the moment it is now, 1 or 0 where the lease has lapsed, a row a delivery: receipt, id, name, meta,
body, losses; the queues that are paused, and credit, passed and at of each group.
]]
begins, me, worker, limit = string.byte(ARGV[1]) == 49, ARGV[2], ARGV[3], tonumber(ARGV[4])
if #ARGV[1] > 1 then
  for name in string.gmatch(ARGV[1], '\n([^\n]+)') do
    limited[name] = true
  end
end
local meta, sent

-- Takes entries of a lane. Plain is what has been sent once, handed out never, and is in no workflow nor limited.
local function take_all(lane, queue, entries)
  for i = 1, #entries do
    local entry, list = entries[i][1], entries[i][2]
    local id, plain = list[2], false
    if list[6] ~= meta then
      meta = list[6]
      -- an only attempt, with a record and without losses or a mark
      sent = string.match(meta or '', '^1 %d+ %d 1 0 %d+ 0 ([%d%.e+-]+)')
    end
    if begins and sent and list[1] == 'i' and list[3] == 'n' and list[5] == 'm' and list[7] == 'b' and not list[9] then
      if not limited[list[4]] and not string.find(id, '.', 1, true) then
        local key, receipt = P .. 't:' .. id, lane .. '/' .. entry .. '/' .. queue
        local record = redis.call('HMGET', key, 's', 'a', 'e', 'l', 'p')
        plain = record[1] == 'PENDING' and record[2] == '1' and record[3] == receipt and not record[4] and not record[5]
        if plain then
          redis.call('HSET', key, 's', 'STARTED', 'o', me, 'w', worker, 'b', NOW_TEXT)
          if NOW - tonumber(sent) * 1000 > DAY then
            redis.call('PEXPIRE', key, OPEN_TEXT)
          end
          rows[#rows + 1] = { receipt, id, list[4], meta, list[8], '0' }
        end
      end
    end
    if not plain then
      apart.take_other(lane, queue, entries, i)
    end
  end
end

alive = redis.call('EXISTS', P .. 'l:' .. me) == 1
-- plain is also to ask for one queue, which is not paused, with nothing to look for but what the bell has brought
local queue, look = ARGV[8], ARGV[5]
local credit, passed, lowest = string.match(ARGV[7] or '', '^%d+ (-?%d+) (%d+) (%d+) 1$')
if not alive or #ARGV ~= 8 or ARGV[6] ~= '-1' or look == '1' or not credit
  or redis.call('SISMEMBER', P .. 'paused', queue) == 1
  or redis.call('ZRANGEBYSCORE', P .. 'd:' .. queue, '-inf', NOW_TEXT, 'LIMIT', 0, 1)[1] then
  return apart.hand_out(take_all, false)
end

local alone = false
if look ~= '0' then
  local lane, stream = string.match(look, ':(%w+)$'), P .. 'q:' .. look
  local held = lane and lane ~= 'suspect' and look == queue .. ':' .. lane
    and redis.pcall('XPENDING', stream, 'w', '-', '+', 2, me .. '.wait')
  if not held or held[2] then
    return apart.hand_out(take_all, false)
  end
  if held[1] then
    local entry = held[1][1]
    local entries = redis.call('XCLAIM', stream, 'w', me, 0, entry)
    if entries[1] then
      take_all(lane, queue, entries)
    else
      redis.call('XACK', stream, 'w', entry)
    end
  end
  -- where nothing else waits in the lane there is very likely nothing anywhere, and what comes rings the bell again
  held = rows[1] and redis.pcall('XPENDING', stream, 'w')
  alone = held and not held.err and held[1] >= redis.call('XLEN', stream)
end

if not alone and #rows < limit then
  local found
  for lane = 11, 0, -1 do
    local name = lane == 11 and 'again' or lane == 10 and 'suspect' or lane
    local stream = P .. 'q:' .. queue .. ':' .. name
    if redis.call('XLEN', stream) == 0 then
      spent[stream] = true
    elseif found or lane > 9 then
      -- of several it is to be seen whose turn it is
      return apart.hand_out(take_all, true)
    else
      found = lane
    end
  end
  local stream, more = P .. 'q:' .. queue .. ':' .. (found or ''), found
  while more and #rows < limit do
    local count = limit - #rows
    local reply = redis.pcall('XREADGROUP', 'GROUP', 'w', me, 'COUNT', count, 'STREAMS', stream, '>')
    if reply and reply.err then
      return apart.hand_out(take_all, true)
    end
    local entries = reply and reply[1][2] or {}
    take_all(found, queue, entries)
    more = #entries == count
  end
  passed = found and '0' or passed
  credit = #rows < limit and '0' or credit
end
return { NOW_TEXT, 1, rows, {}, { credit .. ' ' .. passed .. ' ' .. lowest } }

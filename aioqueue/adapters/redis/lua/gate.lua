--[[
gate: tell which deliveries may start now, by the limits of their tasks, and write that they have begun; the others are
put off in this step.
Uses base, acts, entries, messages, promote, limits, begin
Apart scope, joins, lasting, kept, nodes, flow, unreadable, hand_on
KEYS[1] prefix    of the namespace
ARGV[1] consumer  its name
ARGV[2] begins    1: records are here, write STARTED in them; 0: they are not
ARGV[3] worker    the name written into records
ARGV[4] asks      each: receipt, id/attempt/hop, scope, slots or '', number of rates, then of each rate its name,
                  ms from one start to the next, and how many more may come at once
Returns a list of 1, or 0 for what is put off, not held, or forgotten as its task has ended.
]]
-- first what needs no memory, so that it is let through at maxmemory
redis.call('HDEL', P .. 'limits', '')
local me, begins, worker, answers, at = ARGV[1], ARGV[2] == '1', ARGV[3], {}, 4

-- Admits a delivery that is held, or puts it off; tells which.
local function admit(receipt, member, scope, most, rates, paced)
  local lane, entry, queue = where(receipt)
  local stream, m, record, place = stream_key(queue, lane), nil, nil, nil
  if begins then
    m = unpack_entry(entry_at(stream, entry) or {}, queue)
    if m and m.tracked == '1' then
      record, place = fit(m, receipt, apart)
    end
    if not m or (m.tracked == '1' and not record) then
      forget_entry(stream, entry)
      free_turn(paced, member)
      if m then
        unmark(m)
      end
      return false
    end
  end
  local till, what = ask(me, receipt, member, queue, scope, most, rates, paced)
  if not till then
    if record and not (record[1] == 'STARTED' and record[3] == receipt) then
      begin(m, receipt, record, place, apart, me, worker)
    end
    return true
  end
  if apart.hand_on(lane, entry, queue, me, till - NOW, false, true) == 1 then
    -- what had to wait comes before what has not been looked at
    redis.call('HSET', P .. 'm:' .. member, 'r', what)
  end
  if place then
    apart.renew(m.id, place, till)
  end
  return false
end

while at <= #ARGV do
  local receipt, member, scope, most = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local rates, names = {}, {}
  for i = 1, tonumber(ARGV[at + 4]) do
    local first = at + 2 + i * 3
    rates[i] = { name = ARGV[first], pace = tonumber(ARGV[first + 1]), burst = tonumber(ARGV[first + 2]) }
    names[i] = ARGV[first]
  end
  at = at + 5 + #rates * 3
  local lane, entry, queue = where(receipt)
  local held = holds(stream_key(queue, lane), entry, me)
  local paced = table.concat(names, ',') .. ' ' .. scope
  answers[#answers + 1] = held and admit(receipt, member, scope, most, rates, paced) and 1 or 0
end
return answers

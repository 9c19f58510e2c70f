--[[
finish: end attempts where broker and backend are this store: record, dead letter, what follows, and the
end of the message, each ending whole or not at all. A workflow moves on by it.
Uses ground, held
Apart base, given, endings, acts, entries, messages, scope, joins, lasting, kept, nodes, flow, ending
KEYS[1] prefix    of the namespace
ARGV[1] consumer  its name
ARGV[2] endings   each: receipt, id, meta, value, error, reason, then its followers, 5 values each.
                  meta: attempt hop state tracked marked held? losses ttl due value? error? buried? opens?
                  followers, with ttl in ms, due in ms or 0, and 1 or 0 for what is there; error without
                  error? is for a workflow alone; one that opens has the body of its message as value; one of
                  STARTED goes on as a workflow: value is its opening, error its outline, as start takes them
Returns a list of 1, or 0 where another attempt owns the task. The same consumer's repeat is 1.
]]
local RECEIPT = '^(%w+)/([%d-]+)/(.*)$'
-- Of plain endings: an only attempt has succeeded, and nothing follows.
local PLAIN = '^1 %S+ SUCCESS 1 0 %S+ 0 ([1-9]%d*) %S+ 1 0 0 0 0$'
local HELD_MOST = 1000
me = ARGV[1]
local answers, count, meta, keep, others = {}, 1, nil, nil, false
local starts, streams, entries, node

if #ARGV ~= 7 then
  -- looks at once which entries of several endings, or none, are held: from the first to the last of each stream
  local first, last, nodes, followers = {}, {}, {}, 0
  local at = 2
  starts, streams, entries, count = {}, {}, {}, 0
  while at <= #ARGV do
    if ARGV[at + 2] ~= meta then
      meta = ARGV[at + 2]
      followers = tonumber(string.match(meta, ' (%d+)$'))
    end
    local lane, entry, queue = string.match(ARGV[at], RECEIPT)
    local stream = P .. 'q:' .. queue .. ':' .. lane
    count = count + 1
    starts[count], streams[count], entries[count] = at, stream, entry
    local low, high = first[stream], last[stream]
    if string.byte(entry, 14) ~= 45 then
      -- moments have 13 digits until the year 2286: of another it is asked by itself
      first[stream] = false
    elseif low == nil then
      first[stream], last[stream] = entry, entry
    elseif low then
      local before, after = entry < low, entry > high
      -- of one moment, the longer number is the later one
      if #entry ~= #low and string.sub(entry, 1, 13) == string.sub(low, 1, 13) then
        before = #entry < #low
      end
      if #entry ~= #high and string.sub(entry, 1, 13) == string.sub(high, 1, 13) then
        after = #entry > #high
      end
      if after then
        last[stream] = entry
      elseif before then
        first[stream] = entry
      end
    end
    if string.find(ARGV[at + 1], '.', 1, true) and string.find(meta, '^%S+ %S+ %S+ 1 ') then
      nodes[#nodes + 1] = ARGV[at + 1]
    end
    at = at + 6 + followers * WIDTH
  end
  for stream, entry in pairs(first) do
    local mine = entry and redis.pcall('XPENDING', stream, 'w', entry, last[stream], HELD_MOST, me)
    if mine and #mine < HELD_MOST then
      local found = {}
      for i = 1, #mine do
        found[mine[i][1]] = true
      end
      held[stream] = found
    end
  end
  meta, node = nil, nodes[1]
  if node then
    apart.read_places(nodes)
  end
end

for i = 1, count do
  local start = starts and starts[i] or 2
  local id, stream, entry, record = ARGV[start + 1], streams and streams[i], entries and entries[i], nil
  local key = P .. 't:' .. id
  if ARGV[start + 2] ~= meta then
    meta = ARGV[start + 2]
    keep = string.match(meta, PLAIN)
  end
  if not keep or string.find(id, '.', 1, true) then
    node = node or string.find(id, '.', 1, true)
  else
    if not stream then
      local lane, found, queue = string.match(ARGV[start], RECEIPT)
      stream, entry = P .. 'q:' .. queue .. ':' .. lane, found
    end
    local mine = held[stream]
    if mine then
      mine = mine[entry]
    else
      mine = redis.pcall('XPENDING', stream, 'w', entry, entry, 1, me)
      mine = not mine.err and mine[1] ~= nil
    end
    record = mine and redis.call('HMGET', key, 's', 'a', 'o', 'e', 'b', 'w', 'l', 'g', 'p', 'k', 'i', 't', 'c')
    mine = record and record[1] == 'STARTED' and record[2] == '1' and record[3] == me and record[4] == ARGV[start]
    if not mine or record[8] or record[9] or record[10] or record[11] then
      if not streams then
        held[stream] = { [entry] = record and true or nil }
      end
      record = nil
    end
  end
  if not record then
    others = true
    answers[i] = apart.finish(start)
  else
    -- XACK is first of all, as a script whose first write needs no memory is let through at maxmemory
    if not forgotten_first then
      forgotten_first = true
      redis.call('XACK', stream, 'w', entry)
      redis.call('XDEL', stream, entry)
    elseif forgotten[stream] then
      forgotten[stream][#forgotten[stream] + 1] = entry
    else
      forgotten[stream] = { entry }
    end
    if held[stream] then
      held[stream][entry] = nil
    end
    -- whose it is stands there already
    local value, worker, told = ARGV[start + 3], record[6], ''
    redis.call('HSET', key, 's', 'SUCCESS', 'v', value, 'f', NOW_TEXT)
    redis.call('PEXPIRE', key, keep)
    if #value <= TOLD and not (worker and string.find(worker, '\n', 1, true)) then
      told = 'SUCCESS ' .. record[5] .. ' ' .. NOW_TEXT .. ' ' .. (record[7] or '0') .. ' ' .. (worker or '') .. '\n' .. value
    end
    redis.pcall('PUBLISH', P .. 'done:' .. id, told)
    if record[12] then
      redis.pcall(
        'PUBLISH', P .. 'to:' .. record[12],
        id .. ' ' .. (record[13] or '') .. '\n' .. (#told <= TOLD_ITS_SENDER and told or '')
      )
    end
    answers[i] = 1
  end
end
for stream, gone in pairs(forgotten) do
  redis.call('XACK', stream, 'w', unpack(gone))
  redis.call('XDEL', stream, unpack(gone))
end
if others then
  apart.finished(node)
end
return answers

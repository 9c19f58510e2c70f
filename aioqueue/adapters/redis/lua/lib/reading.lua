--[[
reading: records as they may be shown; a node of a workflow that can start no more is CANCELLED; uses base, scope.
]]

-- Reads a node or a join that is kept and has no record yet.
local function read_kept(id)
  local key, n = part(id)
  local f = key and redis.call('HMGET', key, 'p' .. n, 'n' .. n, 'g' .. n) or {}
  if not f[1] or f[1] == '' or f[1] == NEVER or f[3] then
    return {}
  end
  local attempt, sent, queue, name = string.match(
    f[2] or '1 0 0 1 0 0 0.0 - 0.0  group', '^(%S+) %S+ %S+ %S+ %S+ %S+ (%S+) %S+ %S+ (%S*) (%S+)$'
  )
  local moment = stopped(f[1]) or uncalled(scope_of(f[1]))
  local state = moment and 'CANCELLED' or 'PENDING'
  return { state, attempt, name, queue, sent, false, false, moment or false, false, false, false, false, false, false }
end

-- Returns a record as a row of get; empty for one that is unknown, hidden or past its time.
local function read(id)
  local row = redis.pcall(
    'HMGET', record_key(id), 's', 'a', 'n', 'q', 'c', 'd', 'b', 'f', 'w', 'l', 'v', 'x', 'p', 'j', 'g', 'u'
  )
  if row.err then
    return { '!', row.err }
  end
  if not row[1] then
    return read_kept(id)
  end
  if row[15] or (row[16] and tonumber(row[16]) <= NOW) then
    return {}
  end
  if row[16] and not row[11] and not row[12] then
    local kept = redis.call('HMGET', P .. 'v:' .. id, 'v', 'x', 'j')
    row[11], row[12], row[14] = kept[1], kept[2], kept[3]
  end
  if not FINAL[row[1]] then
    local place = place_of(id)
    -- what runs goes on in a scope that is closed, and ends; a workflow in its place does not
    local runs = row[1] == 'STARTED' and not row[13]
    local moment = (runs and called_off or stopped)(place)
    if moment then
      row[1], row[8] = 'CANCELLED', moment
    end
  end
  return row
end

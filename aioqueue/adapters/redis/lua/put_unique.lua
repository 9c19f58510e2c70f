--[[
put_unique: create PENDING records of tasks whose messages are in another store, of which some claim unique keys.
Uses ground, base, put, unique
KEYS[1] prefix   of the namespace
ARGV[1] records  8 values each: as for put, then key or '', and how: until_done? and ttl in ms
Returns a list of 1, 0 for each whose task has started or ended, or the id of the task that has its key.
]]
local answers = {}
for at = 1, #ARGV, FIELDS + 2 do
  local id, unique = ARGV[at], ARGV[at + FIELDS]
  local known = unique == '' or redis.call('EXISTS', record_key(id)) == 1
  local holder = not known and holder_of(unique, id)
  if holder then
    answers[#answers + 1] = holder
  else
    answers[#answers + 1] = put_record(at, false) and 1 or 0
    if not known then
      local done, ttl = string.match(ARGV[at + FIELDS + 1], '^([01]) (%d+)$')
      take_key(unique, id, done, tonumber(ARGV[at + 5]) or NOW, tonumber(ttl), 0)
    end
  end
end
return answers

--[[
put: create PENDING records of tasks whose messages are in another store.
Uses ground, base, put
KEYS[1] prefix   of the namespace
ARGV[1] follow   1: they belong to a task that has ended, and are taken at maxmemory too
ARGV[2] records  6 values each: id, name, queue, attempt, sent or '', due in ms or ''
Returns a list of 1, or 0 for each whose task has started or ended.
]]
local answers = {}
for at = 2, #ARGV, FIELDS do
  answers[#answers + 1] = put_record(at, ARGV[1] == '1') and 1 or 0
end
return answers

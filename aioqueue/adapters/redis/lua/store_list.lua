--[[
store_list: read the shared map below a prefix, and forget names whose values are gone.
Uses ground
KEYS[1] prefix  of the namespace
ARGV[1] below   what the keys begin with
Returns keys and values in turn, in the order of the keys.
]]
local names
if ARGV[1] == '' then
  names = redis.call('ZRANGEBYLEX', P .. 'store', '-', '+')
else
  names = redis.call('ZRANGEBYLEX', P .. 'store', '[' .. ARGV[1], '[' .. ARGV[1] .. '\255')
end
local found = {}
for _, name in ipairs(names) do
  local value = redis.call('GET', P .. 's:' .. name)
  if value then
    found[#found + 1] = name
    found[#found + 1] = value
  else
    redis.call('ZREM', P .. 'store', name)
  end
end
return found

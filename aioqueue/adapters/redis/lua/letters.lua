--[[
letters: read a page of the dead letters, newest first.
Uses ground, base
KEYS[1] prefix  of the namespace
ARGV[1] queue   of which; '' for all
ARGV[2] after   the key of the letter the page before ended at, or ''
ARGV[3] limit   most of them
Returns entry and fields of each, and the key at which the next page begins, '' at the end. It looks at 500 letters at
most.
]]
local limit, after, left, found = tonumber(ARGV[3]), ARGV[2], 500, {}
while #found < limit and left > 0 do
  local last = after == '' and '+' or '(' .. after
  -- one more than wanted tells whether this is the end
  local count = math.min(left, limit - #found + 1, 100)
  local letters = redis.call('XREVRANGE', P .. 'dead', last, '-', 'COUNT', count)
  for _, letter in ipairs(letters) do
    if #found == limit then
      return { found, after }
    end
    after = letter[1]
    if ARGV[1] == '' or fields(letter[2]).q == ARGV[1] then
      found[#found + 1] = letter
    end
  end
  left = left - #letters
  if #letters < count then
    return { found, '' }
  end
end
return { found, after }

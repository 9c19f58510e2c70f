--[[
given: messages as a script is given them; uses base.
]]
-- By their metas: attempt hop priority tracked eta delay sent.
local given = {}

local function read_given(meta)
  local m, eta, delay = { losses = '0', seen = '0', marked = '0' }, nil, nil
  m.attempt, m.hop, m.priority, m.tracked, eta, delay, m.sent =
    string.match(meta, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$')
  m.eta, m.delay = tonumber(eta), tonumber(delay)
  given[meta] = { __index = m }
  return given[meta]
end

local function read_message(at)
  local meta = ARGV[at + 3]
  return setmetatable(
    { id = ARGV[at], name = ARGV[at + 1], queue = ARGV[at + 2], body = ARGV[at + 4] }, given[meta] or read_given(meta)
  )
end

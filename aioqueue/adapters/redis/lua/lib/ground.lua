--[[
ground: the prefix and the moment, of which everything is made; no function, as what is plain needs few.
]]
local P = KEYS[1]
local OPEN_TTL = 2592000000
local DAY = 86400000
-- Values of a message among arguments: id, name, queue, meta, body.
local WIDTH = 5

local TIME = redis.call('TIME')
local NOW = TIME[1] * 1000 + math.floor(TIME[2] / 1000)
local NOW_TEXT, OPEN_TEXT = string.format('%.0f', NOW), string.format('%.0f', OPEN_TTL)
-- Of what waits: a day more than is promised, in which its start need not renew it.
local WAIT_TEXT = string.format('%.0f', OPEN_TTL + DAY)

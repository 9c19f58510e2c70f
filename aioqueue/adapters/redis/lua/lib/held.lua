--[[
held: what a script knows of the entries that its endings are of, and whom it tells how much; no function.
]]
local me
-- Entries that the consumer holds, a stream each; of a stream that is not here it is not known.
local held = {}
-- Entries that are forgotten together, a stream each, once the first one has been.
local forgotten, forgotten_first = {}, false
-- Bytes of a value up to which who waits is told it, beside the moments; of others they read the record.
local TOLD = 65536
-- Bytes up to which a sender is told what others are: it may not wait at all.
local TOLD_ITS_SENDER = 4096

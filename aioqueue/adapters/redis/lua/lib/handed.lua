--[[
handed: who asks for messages, and what a script has handed out and seen; no function.
]]
local me, worker, limit, begins
-- Whether the consumer's lease is alive.
local alive
-- Names of tasks that begin when they are admitted.
local limited = {}
local rows = {}
-- Streams in which nothing waits, or all has been read in this script: they are looked at once.
local spent = {}

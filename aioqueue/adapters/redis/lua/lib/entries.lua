--[[
entries: what an entry holds of a message; uses base.
]]

-- The meta of an entry: what the server needs to know of a message, beside id, name and body.
local function pack_meta(m)
  return table.concat({ m.attempt, m.hop, m.priority, m.tracked, m.losses, m.seen, m.marked, m.sent }, ' ')
end

-- What has been read of metas, as those of one send are alike; each stands behind the messages that have it.
local metas = {}

local function read_meta(meta)
  local m = { eta = 0, delay = 0 }
  m.attempt, m.hop, m.priority, m.tracked, m.losses, m.seen, m.marked, m.sent =
    string.match(meta, '^(%d+) (%d+) (%d) ([01]) (%d+) (%d+) ([01]) ([%d%.e+-]+)')
  metas[meta] = { __index = m }
  return metas[meta]
end

-- Returns the message that an entry's fields are, nil if they are none. A newer version may add to the meta.
local function unpack_entry(f, queue)
  local meta = f.m or ''
  local m = setmetatable({ id = f.i, name = f.n, body = f.b, queue = queue }, metas[meta] or read_meta(meta))
  return m.sent and m.id and m.name and m.body and m or nil
end

-- Stands for an entry that cannot be read.
local function unreadable(f, queue)
  return {
    id = f.i or '', name = f.n or '', body = f.b or '', queue = queue, attempt = '1', hop = '0', priority = '0',
    tracked = '0', losses = '0', seen = '0', marked = '0', sent = '0.0', eta = 0, delay = 0,
  }
end

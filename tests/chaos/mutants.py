"""Mutants of the Redis adapter: each leaves out one thing that the protocol rests on."""

from __future__ import annotations

from tests.chaos.copies import Change

_NONE_IS_PLAIN = Change("lua/finish.lua", "if not keep or", "if true or")

NO_FENCE = (
    _NONE_IS_PLAIN,
    Change("lua/lib/ending.lua", "local verdict, record = judge(e)", "local verdict, record = 'mine', {}"),
)

_MINE = "record[1] == 'STARTED' and record[2] == '1' and record[3] == me and record[4] == ARGV[start]"

NO_PLAIN_FENCE = (
    Change("lua/finish.lua", "record = mine and redis.call(", "record = redis.call("),
    Change("lua/finish.lua", f"mine = record and {_MINE}", "mine = true"),
)

PLAIN_FENCE_BY_PEL = (Change("lua/finish.lua", f"mine = record and {_MINE}", "mine = record and true"),)

FENCE_BY_PEL = (
    _NONE_IS_PLAIN,
    Change(
        "lua/lib/ending.lua",
        "  local own = record[2] == e.attempt",
        "  do return holds(e.stream, e.entry, me) and 'mine' or nil, record end\n"
        "  local own = record[2] == e.attempt",
    ),
)

SETTLE_FIRST = (
    Change(
        "finisher.py",
        '        found = await self._access.script("finish", *args)\n',
        "        settled = [v for e in endings for v in (receipt_of(e.delivery).place, 0, '', 0)]\n"
        '        await self._access.script("settle", self._holder.id, *settled)\n'
        '        found = await self._access.script("finish", *args)\n',
    ),
)

GROUP_AT_END = (Change("lua/lib/acts.lua", "'w', '0', 'MKSTREAM'", "'w', '$', 'MKSTREAM'"),)

REAP_BY_IDLE = (
    Change("lua/judge.lua", " and redis.call('EXISTS', P .. 'l:' .. all[i]) == 0", ""),
    Change(
        "lua/reap.lua", "if why == 'lost' and redis.call('EXISTS', lease) == 1 then\n  return -1\nend\n", ""
    ),
    Change("lua/reap.lua", "redis.call('DEL', lease)\n", ""),
    Change("lua/reap.lua", "if moved < 100 then\n", "if moved < 100 and why ~= 'lost' then\n"),
    Change("lua/lib/hand_on.lua", "if #held < left then", "if not lost and #held < left then"),
    Change(
        "lua/lib/hand_on.lua",
        "redis.pcall('XPENDING', stream, 'w', '-', '+', left, name)",
        "redis.pcall('XPENDING', stream, 'w', 'IDLE', lost and string.match("
        "redis.call('HGET', P .. 'consumers', consumer), '^%d+') or 0, '-', '+', left, name)",
    ),
)

_TAKE = """--[[
Uses ground, base
]]
local taken, next_due = {}, ''
for i = 1, #ARGV do
  local waiting = P .. 'd:' .. ARGV[i]
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', waiting, '-inf', text(NOW))) do
    redis.call('ZREM', waiting, member)
    taken[#taken + 1] = ARGV[i]
    taken[#taken + 1] = member
  end
  local first = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')
  next_due = first[2] or next_due
end
return { text(NOW), next_due, taken }
"""

_PLACE = """--[[
Uses ground, base, acts, entries, messages
]]
for i = 1, #ARGV, 2 do
  local key = P .. 'm:' .. ARGV[i + 1]
  local m = unpack_entry(fields(redis.call('HGETALL', key)), ARGV[i])
  redis.call('HDEL', key, 'i', 'n', 'b', 'm')
  redis.call('HSET', record_key(m.id), 'e', place(m))
end
"""

PROMOTE_TWICE = (
    Change(
        "lua/lib/handing.lua",
        "      promoted = select(2, promote(queues, math.min(limit, PROMOTED / 2)))\n",
        "",
    ),
    Change("lua/promote.lua", "", _TAKE),
    Change("lua/place.lua", "", _PLACE),
    Change(
        "promoter.py",
        '            now, due = await self._access.script("promote", *self._queues)\n',
        '            now, due, taken = await self._access.script("promote", *self._queues)\n'
        '            await self._access.script("place", *taken)\n',
    ),
)

NO_RECORD = (
    Change("lua/send.lua", "elseif not priority or", "elseif true or"),
    Change(
        "lua/lib/messages.lua",
        "  local due, receipt = due_of(m), place(m)\n",
        "  place(m)\n  do return true end\n  local due, receipt = 0, ''\n",
    ),
)

NO_STRAYS = (Change("lua/judge.lua", "strays(lost)\nlocal old", "local old"),)

NO_AUDIT = (
    Change(
        "consumer.py", "audit = self._audit or self._loop.time() - self._audited > _AUDIT", "audit = False"
    ),
    Change(
        "consumer.py",
        "        except (RedisError, OSError) as exc:\n            self._look = _ALL\n",
        "        except (RedisError, OSError) as exc:\n",
    ),
)

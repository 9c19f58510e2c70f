"""Mutants of how workflows move on: each leaves out one thing that rests on its being there.

What moves workflows on is other code on each store, but for what ``advance`` says of memory and SQLite.
"""

from __future__ import annotations

from tests.chaos.copies import Change

_FLOWS, _MOVE = "adapters/memory/flows.py", "adapters/memory/move.py"
_SQL, _LUA = "adapters/sqlite", "adapters/redis/lua"
_MEMBERS = "    members: dict[int, Member] | None = field(default_factory=dict[int, Member])\n"

COUNTER = (
    Change(_FLOWS, _MEMBERS, f"{_MEMBERS}    count: int = 0\n"),
    Change(_MOVE, "found.members is None or place.number in found.members:", "found.members is None:"),
    Change(
        _MOVE, "        return len(found.members)", "        found.count += 1\n        return found.count"
    ),
)
"""Who has joined is a number, and no set of numbers."""

COUNTER_SQLITE = (
    Change(f"{_SQL}/move.py", "if filling is None or not self._seen.take(place):", "if filling is None:"),
)

COUNTER_REDIS = (
    Change(
        f"{_LUA}/lib/flow.lua",
        "    if not j or redis.call('HSETNX', members, number, member) == 0 then\n",
        "    redis.call('HSETNX', members, number, member)\n    if not j then\n",
    ),
    Change(
        f"{_LUA}/lib/flow.lua",
        "    j.count = j.count and j.count + 1 or redis.call('HLEN', members)\n",
        "    j.count = redis.call('HINCRBY', P .. 'counted', into, 1)\n",
    ),
)

NO_EXITS = (Change("advance.py", "        failed(shelf, scope, fault(ending))\n", "        fault(ending)\n"),)
"""A node that fails closes nothing."""

NO_EXITS_REDIS = (
    Change(
        f"{_LUA}/lib/flow.lua",
        "    fail(id, scope, data, keep)\n  end\n  put_early(keep)\n",
        "  end\n  put_early(keep)\n",
    ),
)

OWN_TIME = (
    Change(
        _FLOWS, _MEMBERS, f"{_MEMBERS}    until: dict[int, float] = field(default_factory=dict[int, float])\n"
    ),
    Change(
        _MOVE,
        "        self._ttl = ttl\n",
        "        self._ttl = ttl\n        self._own = ttl\n",
    ),
    Change(
        _MOVE,
        "        found.members[place.number] = member\n",
        "        found.members[place.number] = member\n"
        "        found.until[place.number] = self._now + self._own\n",
    ),
    Change(
        _FLOWS,
        "tuple(found.members.get(number) for number in numbers)",
        "tuple(found.members.get(number) if found.until.get(number, 0) > self.clock.time() else None "
        "for number in numbers)",
    ),
)
"""A value is kept as long as its own result, and not as long as its group."""

OWN_TIME_SQLITE = (
    Change(
        f"{_SQL}/joins.py",
        '"SELECT number, kind, data FROM members WHERE join_id = ? AND number >= ? AND number < ?",\n',
        '"SELECT members.number, kind, data FROM members CROSS JOIN nodes ON into_join = join_id"\n'
        '        " AND into_number = members.number CROSS JOIN tasks ON tasks.id = nodes.id"\n'
        '        f" WHERE join_id = ? AND members.number BETWEEN ? AND ? AND shown > {tx.now}",\n',
    ),
)

OWN_TIME_REDIS = (
    Change(
        f"{_LUA}/lib/flow.lua",
        "    -- what a task has come to is read by others than its own workflow\n",
        "    redis.call('SET', P .. 'own:' .. into .. number, '', 'PX', text(math.max(1, keep)))\n",
    ),
    Change(
        f"{_LUA}/members.lua",
        "  for _, member in ipairs(redis.call('HMGET', P .. 'g:' .. ARGV[1], unpack(names))) do\n",
        "  for i, member in ipairs(redis.call('HMGET', P .. 'g:' .. ARGV[1], unpack(names))) do\n"
        "    member = redis.call('EXISTS', P .. 'own:' .. ARGV[1] .. names[i]) == 1 and member\n",
    ),
)

RECREATED = (
    Change(
        _FLOWS,
        "        self._flows: dict[str, Flow] = {}\n",
        "        self._flows: dict[str, Flow] = {}\n        self.places = {}\n",
    ),
    Change(
        _FLOWS,
        "            message = node.message\n",
        "            message = node.message\n            self.places[message.id] = node.into\n",
    ),
    Change(
        _FLOWS,
        "    def scope(self, id: str) -> Scope | None:\n",
        "    def join_anyway(self, place, member):\n"
        "        joins = self._made(place.join).joins\n"
        "        found = joins.setdefault(place.join, Filling(Join(place.join, 2)))\n"
        "        found.members[place.number] = member\n\n"
        "    def scope(self, id: str) -> Scope | None:\n",
    ),
    Change(_MOVE, "import Join, Member,", "import Join, Kind, Member,"),
    Change(
        _MOVE,
        "    if step is None:\n        return []\n    if ending.state.final:\n",
        "    if step is None:\n"
        "        place = flows.places.get(id)\n"
        "        if place is not None:\n"
        "            flows.join_anyway(place, Member(Kind.VALUE, ending.value))\n"
        "        return []\n"
        "    if ending.state.final:\n",
    ),
)
"""A member that comes when its group is gone makes it again, as a set is made by its first element."""

RECREATED_SQLITE = (
    Change(
        f"{_SQL}/flows.py",
        "@dataclass(slots=True)\nclass Step:",
        "PLACES = {}\n\n\n@dataclass(slots=True)\nclass Step:",
    ),
    Change(
        f"{_SQL}/flows.py",
        "        message = node.message\n",
        "        message = node.message\n        PLACES[message.id] = node.into\n",
    ),
    Change(f"{_SQL}/move.py", "import PAGE, Join, Member,", "import PAGE, Join, Kind, Member,"),
    Change(
        f"{_SQL}/move.py",
        "        if step is None:\n            return\n        if ending.state.final:\n",
        "        if step is None:\n"
        "            place = table.PLACES.get(id)\n"
        "            if place is not None:\n"
        "                flow, until = id.rpartition('.')[0], self._tx.now + OPEN_TTL\n"
        "                table.keep(self._tx, [table.Flow(flow, until, until)])\n"
        "                joins.save(self._tx, [Filling(Join(place.join, 2), flow)], new=True)\n"
        "                joins.add_members(self._tx, [(place, Member(Kind.VALUE, ending.value))])\n"
        "            return\n"
        "        if ending.state.final:\n",
    ),
)

_PLACES = "redis.call('HGET', P .. 'places', {})"

RECREATED_REDIS = (
    Change(
        f"{_LUA}/lib/kept.lua",
        "  redis.call('HSET', record, unpack(values))\n",
        "  redis.call('HSET', record, unpack(values))\n"
        "  redis.call('HSET', P .. 'places', node.id, node.place)\n",
    ),
    Change(
        f"{_LUA}/lib/scope.lua",
        "      places[of[at]] = place\n",
        f"      places[of[at]] = place or {_PLACES.format('of[at]')}\n",
    ),
    Change(
        f"{_LUA}/lib/scope.lua",
        "    place = key and redis.call('HGET', key, 'p' .. n)\n",
        f"    place = key and (redis.call('HGET', key, 'p' .. n) or {_PLACES.format('id')})\n",
    ),
    Change(
        f"{_LUA}/lib/flow.lua",
        "    if not j or redis.call('HSETNX', members, number, member) == 0 then\n",
        "    if redis.call('HSETNX', members, number, member) == 0 or not j then\n",
    ),
)

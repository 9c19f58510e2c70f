"""Mutants of how workflows move on: each leaves out one thing that rests on its being there."""

from __future__ import annotations

from tests.chaos.copies import Change

_FLOWS, _MOVE = "adapters/memory/flows.py", "adapters/memory/move.py"
_MEMBERS = "    members: dict[int, Member] | None = field(default_factory=dict[int, Member])\n"

COUNTER = (
    Change(_FLOWS, _MEMBERS, f"{_MEMBERS}    count: int = 0\n"),
    Change(_MOVE, "found.members is None or place.number in found.members:", "found.members is None:"),
    Change(
        _MOVE, "        return len(found.members)", "        found.count += 1\n        return found.count"
    ),
)
"""Who has joined is a number, and no set of numbers."""

NO_EXITS = (Change("advance.py", "        failed(shelf, scope, fault(ending))\n", "        fault(ending)\n"),)
"""A node that fails closes nothing."""

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

"""Seen: what one step has read of workflows and records, as it has changed them since.

What a batch of endings will need is read at once; the rest when it is asked for, and once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aioqueue.adapters.sqlite import flows, joins, records, scopes
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.flows import Step
from aioqueue.adapters.sqlite.joins import Filling
from aioqueue.adapters.sqlite.records import Entry
from aioqueue.adapters.sqlite.scopes import Fence
from aioqueue.protocols.flow import Place


class Seen:
    """Nodes, joins, scopes and records. cancels: some whole was cancelled; None as long as nobody asked."""

    def __init__(self, tx: Transaction, entries: dict[str, Entry]) -> None:
        self.entries = entries
        self.steps: dict[str, Step | None] = {}
        self.cancels: bool | None = None
        self._tx = tx
        self._joins: dict[str, Filling | None] = {}
        self._fences: dict[str, Fence | None] = {}
        self._taken: dict[Place, bool] = {}

    def read(self, ids: Iterable[str]) -> None:
        """Read at once what endings of these tasks will need."""
        wanted = list(ids)
        self.steps.update(dict.fromkeys(wanted))
        self._joins.update(dict.fromkeys(wanted))
        possible = flows.candidates(wanted)
        if not possible:
            return
        self.steps.update(flows.steps(self._tx, possible))
        places = [step.into for id in possible if (step := self.steps[id]) is not None and step.into]
        # what is no node may be a join
        needed = {*(place.join for place in places), *(id for id in possible if self.steps[id] is None)}
        self._joins.update(joins.load(self._tx, needed))
        there = joins.joined(self._tx, places)
        self._taken.update({place: place in there for place in places})
        around = [found.join.scope for found in self._joins.values() if found is not None]
        if self._may_be_cancelled():
            around += [step.scope for step in self.steps.values() if step is not None]
        self.enclose(around)

    def take(self, place: Place) -> bool:
        """Take a place in a join; False if it was taken before."""
        if place not in self._taken:
            self._taken[place] = place in joins.joined(self._tx, [place])
        free = not self._taken[place]
        self._taken[place] = True
        return free

    def entry(self, id: str) -> Entry | None:
        """Return a record as it stands in this step."""
        self.load([id])
        return self.entries.get(id)

    def load(self, ids: Iterable[str]) -> None:
        """Read records at once."""
        missing = [id for id in ids if id not in self.entries]
        if missing:
            self.entries.update(records.load(self._tx, missing))

    def step(self, id: str) -> Step | None:
        """Return a node."""
        if id not in self.steps:
            self.steps[id] = flows.steps(self._tx, [id]).get(id)
        return self.steps[id]

    def filling(self, id: str) -> Filling | None:
        """Return a join."""
        if id not in self._joins:
            self._joins[id] = joins.load(self._tx, [id]).get(id)
        return self._joins[id]

    def fence(self, id: str) -> Fence | None:
        """Return a scope."""
        if id not in self._fences:
            self.enclose([id])
        return self._fences[id]

    def enclose(self, ids: Iterable[str | None]) -> None:
        """Read scopes at once, with all around them."""
        missing = {id for id in ids if id is not None and id not in self._fences}
        if missing:
            found: dict[str, Fence | None] = {**dict.fromkeys(missing), **scopes.load(self._tx, missing)}
            for id, fence in found.items():
                self._fences.setdefault(id, fence)

    def _may_be_cancelled(self) -> bool:
        if self.cancels is None:
            self.cancels = scopes.any_cancelled(self._tx)
        return self.cancels

    def _up(self, scope: str | None) -> Iterator[Fence]:
        """Yield a scope and those around it."""
        while scope is not None and (fence := self.fence(scope)) is not None:
            yield fence
            scope = fence.above

    def bars(self, entry: Entry) -> bool:
        """Tell whether a task that is not final reads CANCELLED.

        One that runs is cancelled with a whole alone: a failure elsewhere lets it run on.
        """
        step = self.step(entry.id)
        filling = self.filling(entry.id) if step is None else None
        scope = step.scope if step is not None else None if filling is None else filling.join.scope
        if entry.running:
            return self.is_cancelled(scope)
        waits = step is None or step.stage == flows.WAITING
        return self.is_closed(scope) or (waits and self.uncalled_at(scope) is not None)

    def never_called_at(self, id: str) -> float | None:
        """Return from when on a node or a join that waits can be called no more; None if it can, or was."""
        step = self.step(id)
        if step is not None:
            return self.uncalled_at(step.scope) if step.stage == flows.WAITING else None
        filling = self.filling(id)
        return None if filling is None else self.uncalled_at(filling.join.scope)

    def uncalled_at(self, scope: str | None) -> float | None:
        """Return from when on a scope can be called no more; None if it can, was, or stands in what was."""
        hangs = next((fence.scope.hangs for fence in self._up(scope) if fence.above is None), None)
        if hangs is None:
            return None
        filling = self.filling(hangs)
        if filling is not None:
            return None if _is_full(filling) else self._never_at(filling.join.scope)
        caller = self.fence(hangs)
        if caller is None or caller.closed is not None:
            return None
        if caller.scope.first is None:
            # with nothing inside it, nothing fails in it
            return self._tx.now
        never = self._never_at(hangs)
        fails = caller.scope.fails
        return self._decided_at(fails) if never is None and fails is not None else never

    def _never_at(self, scope: str | None) -> float | None:
        closed = next((fence.closed for fence in self._up(scope) if fence.closed is not None), None)
        return self.uncalled_at(scope) if closed is None else closed

    def _decided_at(self, id: str) -> float | None:
        """Return when what decides a scope has ended, if it has."""
        step, filling = self.step(id), self.filling(id)
        over = step.over if step is not None else filling is None or _is_full(filling)
        entry = self.entry(id)
        finished = None if entry is None else entry.finished
        return (self._tx.now if finished is None else finished) if over else None

    def is_cancelled(self, scope: str | None) -> bool:
        """Tell whether a scope is part of a whole that was cancelled."""
        return (
            scope is not None
            and self._may_be_cancelled()
            and any(fence.cancelled is not None for fence in self._up(scope))
        )

    def closed_around(self, scope: str | None) -> list[Fence]:
        """Return a scope and those around it, of them those that are closed."""
        return [fence for fence in self._up(scope) if fence.closed is not None]

    def early(self, step: Step) -> list[tuple[Place, bytes]]:
        """Return the errors of closed scopes of which a node is the first one, and where they go."""
        return [
            (fence.scope.into, fence.error)
            for fence in self._up(step.scope)
            if fence.flow == step.flow and f"{step.flow}.{fence.scope.first}" == step.id
            if fence.scope.into is not None and fence.closed is not None and fence.error is not None
        ]

    def fence_of_group(self, id: str) -> Fence | None:
        """Return the scope that decides the record of a group, if any node is inside."""
        filling = self.filling(id)
        fence = None if filling is None or filling.join.scope is None else self.fence(filling.join.scope)
        return None if fence is None or fence.scope.fails != id or fence.scope.first is None else fence

    def is_closed(self, scope: str | None) -> bool:
        """Tell whether a scope, or one around it, is closed."""
        return any(fence.closed is not None for fence in self._up(scope))


def _is_full(filling: Filling) -> bool:
    return filling.freed > 0 or filling.joined >= max(1, filling.join.size)


def never_called(tx: Transaction, ids: list[str]) -> dict[str, float]:
    """Return nodes and joins, of *ids* that wait, that can be called no more, and from when on."""
    if not ids:
        return {}
    seen = Seen(tx, {})
    seen.read(ids)
    seen.enclose(step.scope for step in seen.steps.values() if step is not None)
    found = {id: seen.never_called_at(id) for id in ids}
    return {id: moment for id, moment in found.items() if moment is not None}

"""Flows: the workflows of one memory store as they are kept.

A node waits, is released, and has ended. As long as none is released a workflow that was opened cannot
move any more: from then on it is kept only as long as what it came to is shown. One that runs in place of
a node has its life in common with the one around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from aioqueue.adapters.memory.records import Records, Row
from aioqueue.advance import numbered
from aioqueue.clock import Clock
from aioqueue.models.state import State
from aioqueue.protocols.flow import Join, Member, Members, Node, Opening, Page, Place, Scope, Whole
from aioqueue.protocols.messages import OPEN_TTL, Message, Record


class Stage(Enum):
    """How far a node has come."""

    WAITING = 0
    RELEASED = 1
    ENDED = 2
    NEVER = 3
    """It has ended and was not released."""


@dataclass(slots=True)
class Step:
    """A node, and how far it has come."""

    node: Node
    stage: Stage = Stage.WAITING

    @property
    def released(self) -> bool:
        """True from its release on."""
        return self.stage in (Stage.RELEASED, Stage.ENDED)

    @property
    def over(self) -> bool:
        """True when it has ended."""
        return self.stage in (Stage.ENDED, Stage.NEVER)


@dataclass(slots=True)
class Filling:
    """A join, and who has joined; None once nobody reads it any more."""

    join: Join
    members: dict[int, Member] | None = field(default_factory=dict[int, Member])


@dataclass(slots=True)
class Life:
    """How long a workflow is kept, and any of it is shown, with those inside it; Unix seconds.

    released: nodes that are released and have not ended, and OPEN messages on their way.
    """

    kept: float
    shown: float = 0.0
    released: set[str] = field(default_factory=set[str])


@dataclass(slots=True)
class Flow:
    """One workflow. digest: of its pages. keepers: who kept some, if it has one, until it was opened.
    opening: None before. task: in whose place it runs.

    cancelled, closed: the moments scopes were; faults: the errors they were closed with, for those who are
    told, or take them. opens: ids of the OPEN messages that were left. released: as of its life, its own.
    """

    life: Life
    digest: str = ""
    keepers: set[str] = field(default_factory=set[str])
    opening: Opening | None = None
    task: str | None = None
    cancelled: dict[str, float] = field(default_factory=dict[str, float])
    steps: dict[str, Step] = field(default_factory=dict[str, Step])
    joins: dict[str, Filling] = field(default_factory=dict[str, Filling])
    scopes: dict[str, Scope] = field(default_factory=dict[str, Scope])
    opens: set[str] = field(default_factory=set[str])
    released: set[str] = field(default_factory=set[str])
    closed: dict[str, float] = field(default_factory=dict[str, float])
    faults: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def add(self, id: str) -> None:
        """Write that a node, or an OPEN message, is on its way."""
        self.released.add(id)
        self.life.released.add(id)

    def discard(self, id: str) -> None:
        """Write that it is no more."""
        self.released.discard(id)
        self.life.released.discard(id)

    @property
    def kept(self) -> float:
        return self.life.kept

    @kept.setter
    def kept(self, until: float) -> None:
        self.life.kept = until


class Flows:
    """All workflows of one store."""

    def __init__(self, clock: Clock, records: Records) -> None:
        self.clock = clock
        self.records = records
        self._flows: dict[str, Flow] = {}

    def whole(self, id: str) -> Flow | None:
        """Return a workflow by its own id."""
        flow = self._flows.get(id)
        return flow if flow is not None and flow.kept > self.clock.time() else None

    def find(self, id: str) -> Flow | None:
        """Return the workflow that a node, join or scope belongs to."""
        parts = numbered(id)
        return None if parts is None else self.whole(parts[0])

    def step(self, id: str) -> Step | None:
        """Return a node."""
        flow = self.find(id)
        return None if flow is None else flow.steps.get(id)

    def filling(self, id: str) -> Filling | None:
        """Return a join, unless nobody reads it any more."""
        flow = self.find(id)
        found = None if flow is None else flow.joins.get(id)
        return None if found is None or found.members is None else found

    def scope(self, id: str) -> Scope | None:
        """Return a scope."""
        flow = self.find(id)
        return None if flow is None else flow.scopes.get(id)

    def plan(self, page: Page) -> list[str]:
        """Keep some of a workflow; what is kept already stays as it is. Return what is a task of its own."""
        now = self.clock.time()
        foreign: list[str] = []
        if page.first is not None and self._is_other(page, page.first):
            return [page.first]
        for node in page.nodes:
            message = node.message
            flow = self._made(message.id)
            flow.kept = max(flow.kept, message.due(now) + OPEN_TTL)
            if message.id in flow.steps:
                continue
            if self.records.plan(message, now):
                flow.steps[message.id] = Step(node)
            else:
                foreign.append(message.id)
        for join in page.joins:
            flow = self._made(join.id)
            if join.id not in flow.joins:
                flow.joins[join.id] = Filling(join)
                if join.shown:
                    self.records.put(Record(join.id, "group", ""), until=flow.kept)
        for scope in page.scopes:
            flow = self._made(scope.id)
            flow.scopes.setdefault(scope.id, scope)
            flow.task = scope.task or flow.task
        return foreign

    def opened(self, id: str) -> Whole | None:
        """Return a workflow that was opened."""
        flow = self.whole(id)
        opening = None if flow is None else flow.opening
        return None if opening is None else Whole(opening.result, opening.outline)

    def fault(self, scope: str) -> bytes | None:
        """Return the error with which a scope was closed."""
        flow = self.find(scope)
        return None if flow is None else flow.faults.get(scope)

    def closed_at(self, scope: str | None) -> float | None:
        """Return the moment a scope, or one around it, was closed; None if they are open."""
        return next((flow.closed[id] for flow, id in self._up(scope) if id in flow.closed), None)

    def cancelled_at(self, scope: str | None) -> float | None:
        """Return the moment a scope, or one around it, was cancelled with all in it; None if none was."""
        return next((flow.cancelled[id] for flow, id in self._up(scope) if id in flow.cancelled), None)

    def closed_around(self, scope: str | None) -> list[Scope]:
        """Return a scope and those around it, of them those that are closed."""
        return [flow.scopes[id] for flow, id in self._up(scope) if id in flow.closed]

    def early(self, id: str, step: Step) -> list[tuple[Place, bytes]]:
        """Return the errors of closed scopes of which a node is the first one, and where they go."""
        own, found = self.find(id), list[tuple[Place, bytes]]()
        for flow, name in self._up(step.node.scope):
            scope = flow.scopes[name]
            first = None if scope.first is None else f"{name.rpartition('.')[0]}.{scope.first}"
            if flow is own and first == id and scope.into is not None and name in flow.faults:
                found.append((scope.into, flow.faults[name]))
        return found

    def scopes_around(self, id: str) -> list[str]:
        """Return the scopes of which each, once it is closed, bars a node or a join."""
        flow = self.find(id)
        if flow is None:
            return []
        step, filling = flow.steps.get(id), flow.joins.get(id)
        scope = step.node.scope if step is not None else None if filling is None else filling.join.scope
        return [around for _, around in self._up(scope)]

    def scope_of_group(self, id: str) -> str | None:
        """Return the scope that decides the record of a group, if any node is inside."""
        filling = self.filling(id)
        scope = None if filling is None or filling.join.scope is None else self.scope(filling.join.scope)
        return None if scope is None or scope.fails != id or scope.first is None else scope.id

    def barred_at(self, record: Record) -> float | None:
        """Return from when on a record that is not final reads CANCELLED; None if it does not.

        One that runs is cancelled with a whole alone: a failure elsewhere lets it run on.
        """
        flow = self.find(record.id)
        if flow is None:
            return None
        if record.id in flow.steps:
            step = flow.steps[record.id]
            scope = step.node.scope
            if record.state is State.STARTED and record.plan is None:
                return self.cancelled_at(scope)
            uncalled = None if step.released else self.uncalled_at(scope)
            return uncalled if uncalled is not None else self.closed_at(scope)
        return self._never_at(flow.joins[record.id]) if record.id in flow.joins else None

    def uncalled_at(self, scope: str | None) -> float | None:
        """Return from when on a scope can be called no more; None if it can, was, or stands in what was."""
        outermost = next(iter([*self._up(scope)][-1:]), None)
        if outermost is None:
            return None
        flow, id = outermost
        hangs = flow.scopes[id].hangs
        if hangs is None:
            return None
        if hangs in flow.joins:
            return None if self._is_full(flow.joins[hangs]) else self._never_at(flow.joins[hangs])
        caller = flow.scopes.get(hangs)
        if caller is None or hangs in flow.closed:
            return None
        if caller.first is None:
            # with nothing inside it, nothing fails in it
            return self.clock.time()
        never = self.closed_at(hangs)
        never = self.uncalled_at(hangs) if never is None else never
        return self._decided_at(caller.fails) if never is None and caller.fails is not None else never

    def called_by(self, id: str) -> str | None:
        """Return the record by whose success a node is never called, if there is one."""
        step = self.step(id)
        outermost = None if step is None else next(iter([*self._up(step.node.scope)][-1:]), None)
        hangs = None if outermost is None else outermost[0].scopes[outermost[1]].hangs
        caller = None if hangs is None else self.scope(hangs)
        return None if caller is None else caller.fails

    def _never_at(self, filling: Filling) -> float | None:
        closed = self.closed_at(filling.join.scope)
        return self.uncalled_at(filling.join.scope) if closed is None else closed

    def _is_full(self, filling: Filling) -> bool:
        members = filling.members
        return members is None or len(members) >= max(1, filling.join.size)

    def _decided_at(self, id: str) -> float | None:
        """Return when what decides a scope has ended, if it has."""
        step, filling = self.step(id), self.filling(id)
        over = step.over if step is not None else filling is None or self._is_full(filling)
        row = self.records.row(id)
        finished = None if row is None else row.record.finished
        return (self.clock.time() if finished is None else finished) if over else None

    def bars(self, message: Message, row: Row | None) -> bool:
        """Tell whether a task may not start, or commit, any more."""
        record = Record(message.id, message.name, message.queue) if row is None else row.record
        return self.barred_at(record) is not None

    def enter(self, flow: Flow) -> None:
        """Give a workflow that runs in place of a node its life in common with the one around it."""
        around = None if flow.task is None else self.find(flow.task)
        if around is not None and around.life is not flow.life:
            around.life.kept = max(around.life.kept, flow.life.kept)
            around.life.shown = max(around.life.shown, flow.life.shown)
            around.life.released |= flow.life.released
            flow.life = around.life

    def drop(self, id: str) -> None:
        """Drop a workflow that is kept and will not be opened: the task that was to go on as it has ended."""
        flow = self.whole(id)
        if flow is not None and flow.opening is None:
            flow.kept = self.clock.time()

    def retract(self, id: str, keeper: str) -> None:
        """Forget one who kept some of a workflow that is not open, and with the last one all of it."""
        flow = self.whole(id)
        if flow is not None and flow.opening is None and keeper in flow.keepers:
            flow.keepers.remove(keeper)
            if not flow.keepers:
                self._sweep(id)

    def renew(self, id: str, due: float | None = None) -> None:
        """Keep the workflow of a node that has started, or is *due*, as long, and the tasks it runs for."""
        now = max(self.clock.time(), due or 0.0)
        flow = self.find(id)
        if flow is not None:
            flow.kept = max(flow.kept, now + OPEN_TTL)
        while flow is not None and flow.task is not None:
            self.records.renew(flow.task, now)
            flow = self.find(flow.task)

    def members(self, join: str, first: int, count: int) -> Members | None:
        """Return members of a join, if it is still there."""
        found = self.filling(join)
        if found is None or found.members is None:
            return None
        numbers = range(first, min(first + count, found.join.size))
        return Members(
            found.join.size, found.join.single, tuple(found.members.get(number) for number in numbers)
        )

    def sweep(self) -> None:
        """Drop workflows whose time is over, with the records of what they never released or filled."""
        now = self.clock.time()
        for id in [id for id, flow in self._flows.items() if flow.kept <= now]:
            self._sweep(id)

    def _sweep(self, id: str) -> None:
        flow = self._flows.pop(id)
        for name, step in flow.steps.items():
            if step.stage is Stage.WAITING:
                self.records.drop(name)
        for name, filling in flow.joins.items():
            row = self.records.row(name) if filling.join.shown else None
            if row is not None and not row.record.state.final:
                self.records.drop(name)

    def _is_other(self, page: Page, first: str) -> bool:
        """Tell whether there is another workflow of that id; if not, take note of who keeps this one."""
        flow = self._made(first, page.digest)
        if page.digest and flow.digest == page.digest and flow.opening is None:
            flow.keepers.add(page.keeper)
        return flow.digest != page.digest

    def _up(self, scope: str | None) -> Iterator[tuple[Flow, str]]:
        """Yield a scope and those around it, each with its workflow."""
        while scope is not None:
            flow = self.find(scope)
            found = None if flow is None else flow.scopes.get(scope)
            if flow is None or found is None:
                return
            yield flow, scope
            step = None if found.task is None else self.step(found.task)
            scope = found.around if step is None else step.node.scope

    def _made(self, id: str, digest: str = "") -> Flow:
        parts = numbered(id)
        if parts is None:
            raise ValueError(f"{id!r} is not <workflow>.<number>")
        flow = self.find(id)
        if flow is None:
            flow = self._flows[parts[0]] = Flow(Life(self.clock.time() + OPEN_TTL), digest=digest)
        return flow

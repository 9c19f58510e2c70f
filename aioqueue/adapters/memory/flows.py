"""Flows: the workflows of one memory store.

A node waits, is released, and has ended. As long as none is released a workflow that was opened cannot
move any more: from then on it is kept only as long as what it came to is shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from aioqueue.adapters.memory.records import Records
from aioqueue.advance import SHOWN_TTL, ended, numbered, opened, opener, paged, rest_of
from aioqueue.clock import Clock
from aioqueue.models.state import State
from aioqueue.protocols.flow import (
    Join,
    Kind,
    Member,
    Members,
    Node,
    Opening,
    Page,
    Place,
    Range,
    Scope,
)
from aioqueue.protocols.messages import COMMIT_TTL, OPEN_TTL, Ending, Message, Record


class Stage(Enum):
    """How far a node has come."""

    WAITING = 0
    RELEASED = 1
    ENDED = 2


@dataclass(slots=True)
class Step:
    """A node, and how far it has come."""

    node: Node
    stage: Stage = Stage.WAITING


@dataclass(slots=True)
class Filling:
    """A join, and who has joined; None once nobody reads it any more."""

    join: Join
    members: dict[int, Member] | None = field(default_factory=dict[int, Member])


@dataclass(slots=True)
class Flow:
    """One workflow. kept: Unix seconds; shown: until when what it came to is shown at least."""

    kept: float = 0.0
    shown: float = 0.0
    steps: dict[str, Step] = field(default_factory=dict[str, Step])
    joins: dict[str, Filling] = field(default_factory=dict[str, Filling])
    scopes: dict[str, Scope] = field(default_factory=dict[str, Scope])
    closed: dict[str, float] = field(default_factory=dict[str, float])
    released: set[str] = field(default_factory=set[str])

    def closed_at(self, scope: str | None) -> float | None:
        """Return the moment a scope, or one around it, was closed; None if they are open."""
        while scope is not None:
            if scope in self.closed:
                return self.closed[scope]
            found = self.scopes.get(scope)
            scope = None if found is None else found.around
        return None


class Flows:
    """All workflows of one store."""

    def __init__(self, clock: Clock, records: Records) -> None:
        self.clock = clock
        self.records = records
        self._flows: dict[str, Flow] = {}

    def find(self, id: str) -> Flow | None:
        """Return the workflow that a node, join or scope belongs to."""
        parts = numbered(id)
        flow = None if parts is None else self._flows.get(parts[0])
        return flow if flow is not None and flow.kept > self.clock.time() else None

    def plan(self, page: Page) -> None:
        """Keep some of a workflow; what is kept already stays as it is."""
        now = self.clock.time()
        for node in page.nodes:
            message = node.message
            flow = self._made(message.id)
            flow.kept = max(flow.kept, message.due(now) + OPEN_TTL)
            if message.id not in flow.steps and self.records.plan(message, now):
                flow.steps[message.id] = Step(node)
        for join in page.joins:
            flow = self._made(join.id)
            if join.id not in flow.joins:
                flow.joins[join.id] = Filling(join)
                if join.shown:
                    self.records.put(_shown(join.id), until=flow.kept)
        for scope in page.scopes:
            self._made(scope.id).scopes.setdefault(scope.id, scope)

    def open(self, opening: Opening, *, again: bool = False) -> list[Message]:
        """Start a workflow; return what that releases. again: with all of it that has not started yet."""
        flow = self.find(f"{opening.workflow}.0")
        if flow is None:
            return []
        move = Move(self, flow, SHOWN_TTL, again=again)
        opened(move, opening)
        move.done()
        return move.messages

    def end(self, ending: Ending) -> list[Message]:
        """Move on from an ending; return what that releases."""
        message = ending.delivery.message
        flow = self.find(message.id)
        step = None if flow is None else flow.steps.get(message.id)
        if flow is None or step is None:
            return []
        move = Move(self, flow, ending.ttl)
        if ending.state.final:
            move.leave(message.id)
            ended(move, ending, into=step.node.into, scope=step.node.scope)
        move.done(until=ending.next_at)
        return move.messages

    def more(self, message: Message, *, again: bool = False) -> list[Message]:
        """Return the next page that an OPEN message stands for, and the OPEN message of what is left then."""
        workflow, nodes = rest_of(message)
        flow = self.find(f"{workflow}.0")
        if flow is None:
            return []
        move = Move(self, flow, SHOWN_TTL, again=again)
        flow.released.discard(message.id)
        move.release(f"{workflow}.0", nodes)
        move.done()
        return move.messages

    def barred_at(self, id: str) -> float | None:
        """Return from when on a node may not start, or a join be joined, any more; None if it may."""
        flow = self.find(id)
        if flow is None:
            return None
        if id in flow.steps:
            return flow.closed_at(flow.steps[id].node.scope)
        return flow.closed_at(flow.joins[id].join.scope) if id in flow.joins else None

    def cancel(self, id: str) -> None:
        """Write that a node which may not start has been cancelled."""
        flow = self.find(id)
        if flow is not None and id in flow.steps:
            node = flow.steps[id].node.message
            self.records.decide(Record(id, node.name, node.queue, State.CANCELLED), ttl=COMMIT_TTL)
            move = Move(self, flow, SHOWN_TTL)
            move.leave(id)
            move.done()

    def renew(self, id: str) -> None:
        """Keep the workflow of a node that has started as long as the node."""
        flow = self.find(id)
        if flow is not None:
            flow.kept = max(flow.kept, self.clock.time() + OPEN_TTL)

    def members(self, join: str, first: int, count: int) -> Members | None:
        """Return members of a join, if it is still there."""
        flow = self.find(join)
        found = None if flow is None else flow.joins.get(join)
        if found is None or found.members is None:
            return None
        numbers = range(first, min(first + count, found.join.size))
        return Members(
            found.join.size, found.join.single, tuple(found.members.get(number) for number in numbers)
        )

    def sweep(self) -> None:
        """Drop workflows whose time is over, with the records of what they never released."""
        now = self.clock.time()
        for id in [id for id, flow in self._flows.items() if flow.kept <= now]:
            flow = self._flows.pop(id)
            for name, step in flow.steps.items():
                if step.stage is Stage.WAITING:
                    self.records.drop(name)

    def _made(self, id: str) -> Flow:
        parts = numbered(id)
        if parts is None:
            raise ValueError(f"{id!r} is not <workflow>.<number>")
        flow = self.find(id)
        if flow is None:
            flow = self._flows[parts[0]] = Flow(self.clock.time() + OPEN_TTL)
        return flow


class Move:
    """One workflow inside one step. messages: what it releases. ttl: seconds that records it ends are shown.

    again: what was released before and has not started is released again.
    """

    def __init__(self, flows: Flows, flow: Flow, ttl: float, *, again: bool = False) -> None:
        self.messages: list[Message] = []
        self._records = flows.records
        self._flow = flow
        self._now = flows.clock.time()
        self._ttl = max(ttl, SHOWN_TTL)
        self._again = again

    def join(self, id: str) -> Join | None:
        found = self._flow.joins.get(id)
        return None if found is None or found.members is None else found.join

    def put(self, place: Place, member: Member) -> int:
        members = self._flow.joins[place.join].members
        if members is None or place.number in members:
            return 0
        members[place.number] = member
        self._records.renew(place.join, self._now)
        return len(members)

    def scope(self, id: str) -> Scope | None:
        return self._flow.scopes.get(id)

    def close(self, id: str) -> bool:
        if self.is_closed(id):
            return False
        self._flow.closed[id] = self._now
        self._records.tell_those(lambda waited: waited in self._flow.steps or waited in self._flow.joins)
        return True

    def is_closed(self, id: str | None) -> bool:
        return self._flow.closed_at(id) is not None

    def release(self, owner: str, nodes: Range) -> None:
        workflow = owner.rpartition(".")[0]
        page, rest = paged(nodes)
        for number in range(page.first, page.first + page.count):
            self._release(f"{workflow}.{number}")
        following = self._flow.steps.get(f"{workflow}.{rest.first}")
        if rest.count and following is not None:
            message = opener(workflow, rest, following.node.message)
            if following.stage is Stage.WAITING and (self._again or message.id not in self._flow.released):
                self._flow.released.add(message.id)
                self.messages.append(message)

    def succeed(self, id: str) -> None:
        self._decide(_shown(id, State.SUCCESS))

    def fail(self, id: str, error: bytes) -> None:
        step = self._flow.steps.get(id)
        if step is None:
            self._decide(_shown(id, State.FAILURE, error))
        elif step.stage is not Stage.ENDED:
            message = step.node.message
            self._decide(Record(id, message.name, message.queue, State.FAILURE, error=error))
            self.leave(id)

    def free(self, id: str) -> None:
        found = self._flow.joins.get(id)
        if found is None or found.members is None:
            return
        members, found.members = found.members, None
        for member in members.values():
            inner = self._flow.joins.get(member.data.decode()) if member.kind is Kind.JOIN else None
            # one that is shown, or read by others too, stays
            if inner is not None and not inner.join.shown and not inner.join.then.count:
                self.free(inner.join.id)

    def leave(self, id: str) -> None:
        """Write that a node has ended."""
        self._flow.steps[id].stage = Stage.ENDED
        self._flow.released.discard(id)

    def done(self, *, until: float | None = None) -> None:
        """Keep the workflow as long as it may move on, at least *until* a moment, or is shown."""
        flow = self._flow
        flow.shown = max(flow.shown, self._now + self._ttl)
        flow.kept = max(flow.kept, (until or self._now) + OPEN_TTL) if flow.released else flow.shown

    def _release(self, id: str) -> None:
        step = self._flow.steps.get(id)
        if step is None or step.stage is Stage.ENDED or self.is_closed(step.node.scope):
            return
        if step.stage is Stage.RELEASED:
            record = self._records.row(id)
            if not self._again or record is None or record.record.state is not State.PENDING:
                return
        step.stage = Stage.RELEASED
        self._flow.released.add(id)
        self._records.release(step.node.message, self._now)
        self._flow.kept = max(self._flow.kept, step.node.message.due(self._now) + OPEN_TTL)
        self.messages.append(step.node.message)

    def _decide(self, record: Record) -> None:
        if self._records.decide(record, ttl=self._ttl):
            self._flow.shown = max(self._flow.shown, self._now + self._ttl)


def _shown(id: str, state: State = State.PENDING, error: bytes | None = None) -> Record:
    """Return the record of a join."""
    return Record(id, "group", "", state, error=error)

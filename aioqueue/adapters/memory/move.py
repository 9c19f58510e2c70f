"""Move: how the workflows of one memory store move on, inside one step; and what begins a move."""

from __future__ import annotations

from aioqueue.adapters.memory.flows import Flow, Flows, Life, Stage, Step
from aioqueue.advance import ended, failed, opened, openers, paged, released, rest_of
from aioqueue.models.state import State
from aioqueue.protocols.flow import Join, Member, Opening, Place, Range, Scope
from aioqueue.protocols.messages import OPEN_TTL, Ending, Message, Record


class Move:
    """A step of workflows. messages: what it releases. ttl: seconds that what it ends is shown.

    again: what was released before and has not started is released again. overtaken: records as they stood
    of tasks that waited when something was decided about them.
    """

    def __init__(self, flows: Flows, ttl: float = 0.0, *, again: bool = False) -> None:
        self.messages: list[Message] = []
        self.overtaken: list[Record] = []
        self._flows = flows
        self._records = flows.records
        self._now = flows.clock.time()
        self._ttl = ttl
        self._again = again
        self._moved: dict[int, Life] = {}
        self._left: list[Flow] = []

    def join(self, id: str) -> Join | None:
        found = self._flows.filling(id)
        return None if found is None else found.join

    def put(self, place: Place, member: Member) -> int:
        found = self._flows.filling(place.join)
        if found is None or found.members is None or place.number in found.members:
            return 0
        found.members[place.number] = member
        self._records.renew(place.join, self._now)
        return len(found.members)

    def scope(self, id: str) -> Scope | None:
        return self._flows.scope(id)

    def close(self, id: str, error: bytes | None) -> bool:
        flow = self._at(id)
        if flow is None or self.is_closed(id):
            return False
        flow.closed[id] = self._now
        if error is not None:
            flow.faults[id] = error
        self._records.tell_barred(id)
        return True

    def is_closed(self, id: str | None) -> bool:
        return self._flows.closed_at(id) is not None

    def has_begun(self, scope: Scope) -> bool:
        step = self._flows.step(f"{scope.id.rpartition('.')[0]}.{scope.first}")
        return step is None or step.released

    def cancel(self, scope: str, error: bytes, state: State) -> None:
        """Cancel all that a scope is around, what runs too. state: what the record reads that it decides."""
        flow = self._at(scope)
        if flow is not None:
            flow.cancelled[scope] = self._now
            self._records.tell_barred(scope)
            failed(self, scope, error, state)

    def release(self, owner: str, nodes: Range) -> list[tuple[Place, bytes]]:
        flow, early = self._at(owner), list[tuple[Place, bytes]]()
        if flow is None:
            return early
        workflow = owner.rpartition(".")[0]
        page, rest = paged(nodes)
        for number in range(page.first, page.first + page.count):
            early += self._release(flow, f"{workflow}.{number}")
        following = flow.steps.get(f"{workflow}.{rest.first}")
        last = flow.steps.get(f"{workflow}.{rest.first + rest.count - 1}")
        if rest.count and following is not None and last is not None:
            for message in openers(workflow, rest, following.node.message, last.node.queues):
                # one that was left before may not have got there, as long as it is on its way
                if message.id not in flow.opens or (self._again and message.id in flow.life.released):
                    flow.opens.add(message.id)
                    flow.add(message.id)
                    self.messages.append(message)
        return early

    def succeed(self, id: str) -> None:
        self.decide(Record(id, "group", "", State.SUCCESS))

    def fail(self, id: str, error: bytes, state: State) -> None:
        step = self._flows.step(id)
        if step is None:
            self.decide(Record(id, "group", "", state, error=error))
        elif not step.over:
            message = step.node.message
            self.decide(Record(id, message.name, message.queue, state, error=error))
            self.leave(id)

    def free(self, id: str) -> None:
        found = self._flows.filling(id)
        if found is None or found.members is None:
            return
        members, found.members = found.members, None
        for member in members.values():
            inner = None if member.join is None else self.join(member.join)
            # one that is shown, or read by others too, stays
            if inner is not None and not inner.shown and not inner.then.count:
                self.free(inner.id)

    def succeed_task(self, id: str, member: Member) -> Place | None:
        step = self._decide_task(Record(id, "", "", State.SUCCESS, value=member.value, joined=member.join))
        return None if step is None else step.node.into

    def fail_task(self, id: str, error: bytes) -> str | None:
        step = self._decide_task(Record(id, "", "", State.FAILURE, error=error))
        return None if step is None else step.node.scope

    def leave(self, id: str) -> None:
        """Write that a node has ended."""
        flow = self._at(id)
        if flow is not None and id in flow.steps:
            step = flow.steps[id]
            step.stage = Stage.ENDED if step.released else Stage.NEVER
            flow.discard(id)
            self.left(flow)

    def left(self, flow: Flow) -> None:
        """Take note that nothing of a workflow may be released any more."""
        if flow.task is not None:
            self._left.append(flow)

    def decide(self, record: Record, *, ttl: float | None = None) -> bool:
        """Write a final *record* that no attempt has brought about; False if there is one.

        ttl: seconds it is shown, if not as long as what this step ends.
        """
        self._at(record.id)
        row = self._records.row(record.id)
        if row is not None and row.record.state in (State.PENDING, State.RETRY):
            self.overtaken.append(row.record)
        return self._records.decide(record, ttl=self._ttl if ttl is None else ttl)

    def bar(self, id: str) -> None:
        """Write that a node which may not start has been cancelled."""
        step = self._flows.step(id)
        if step is not None:
            message, flow = step.node.message, self._at(id)
            left = 0.0 if flow is None else flow.life.shown - self._now
            record = Record(id, message.name, message.queue, State.CANCELLED)
            self.decide(record, ttl=max(left, self._ttl))
            self.leave(id)

    def tell_again(self, scope: str | None) -> None:
        """Release again what the closed scopes around a node of a cancelled whole are to tell."""
        again, self._again = self._again, True
        for found in self._flows.closed_around(scope) if self._flows.cancelled_at(scope) is not None else ():
            self.release(found.id, found.then)
        self._again = again

    def touch(self, flow: Flow) -> None:
        """Take part in what is to be kept."""
        self._moved[id(flow.life)] = flow.life

    def done(self, *, until: float | None = None) -> list[Message]:
        """Keep what may move on, at least *until* a moment, or is shown; return what is released."""
        while self._left:
            self._end_task(self._left.pop())
        for life in self._moved.values():
            life.shown = max(life.shown, self._now + self._ttl)
            life.kept = max(life.kept, (until or self._now) + OPEN_TTL) if life.released else life.shown
        return self.messages

    def _at(self, id: str) -> Flow | None:
        flow = self._flows.find(id)
        if flow is not None:
            self.touch(flow)
        return flow

    def _release(self, flow: Flow, id: str) -> list[tuple[Place, bytes]]:
        """Release a node; return what is put where if it may not start and its turn was waited for."""
        step = flow.steps.get(id)
        if step is None:
            return []
        if step.over or self.is_closed(step.node.scope):
            return self._flows.early(id, step)
        if step.stage is Stage.RELEASED:
            record = self._records.row(id)
            if not self._again or record is None or record.record.state is not State.PENDING:
                return []
        step.stage = Stage.RELEASED
        flow.add(id)
        self._records.release(step.node.message, self._now)
        flow.life.kept = max(flow.life.kept, step.node.message.due(self._now) + OPEN_TTL)
        self.messages.append(step.node.message)
        return []

    def _end_task(self, flow: Flow) -> None:
        """End the task in whose place a workflow runs that moves no more, if it can end no other way."""
        row = None if flow.task is None or flow.released else self._records.row(flow.task)
        if row is None or flow.opening is None or row.record.plan != flow.opening.workflow:
            return
        if not row.record.state.final and self._flows.barred_at(row.record) is not None:
            self.bar(row.record.id)

    def _decide_task(self, record: Record) -> Step | None:
        """Write what a task that went on as a workflow has come to; return its node, if that moves on."""
        row = self._records.row(record.id)
        if row is not None and self._flows.barred_at(row.record) is not None:
            return None
        if not self.decide(record):
            return None
        self.leave(record.id)
        return self._flows.step(record.id)


def started(flows: Flows, opening: Opening, *, again: bool = False) -> tuple[bool, list[Message]]:
    """Start a workflow; return whether it was not before, and what that releases.

    again: with all of it that has not started yet.
    """
    flow = flows.whole(opening.workflow)
    if flow is None:
        return False, []
    first = flow.opening is None
    flow.opening = opening
    flows.enter(flow)
    move = Move(flows, opening.ttl if first and opening.full else 0.0, again=again)
    move.touch(flow)
    opened(move, opening)
    move.left(flow)
    return first, move.done()


def moved(flows: Flows, ending: Ending) -> list[Message]:
    """Move on from an ending; return what that releases."""
    if ending.opening is not None:
        return started(flows, ending.opening)[1]
    id = ending.delivery.message.id
    step, move = flows.step(id), Move(flows, ending.ttl if ending.state.final else 0.0)
    if step is None:
        return []
    if ending.state.final:
        move.leave(id)
        ended(move, ending, into=step.node.into, scope=step.node.scope)
    elif (flow := flows.find(id)) is not None:
        move.touch(flow)
    return move.done(until=ending.next_at)


def more(flows: Flows, message: Message, *, again: bool = False) -> list[Message]:
    """Return the next page that an OPEN message stands for, and the OPEN message of what is left then."""
    workflow, nodes = rest_of(message)
    flow, move = flows.whole(workflow), Move(flows, again=again)
    if flow is None:
        return []
    move.touch(flow)
    flow.discard(message.id)
    released(move, f"{workflow}.0", nodes)
    return move.done()


def refuse(flows: Flows, ending: Ending, record: Record) -> None:
    """Drop what a task was to go on as, if that has ended meanwhile, or will not."""
    if ending.opening is not None and (record.state.final or flows.barred_at(record) is not None):
        flows.drop(ending.opening.workflow)


def bar(flows: Flows, id: str) -> None:
    """Write that a node which may not start has been cancelled."""
    move = Move(flows)
    move.bar(id)
    move.done()


def told_again(flows: Flows, id: str) -> tuple[Message, ...]:
    """Return what is told of the cancelled whole that a node is part of and has not started."""
    step, move = flows.step(id), Move(flows)
    if step is not None:
        move.tell_again(step.node.scope)
    return tuple(move.done())

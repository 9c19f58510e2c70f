"""Move: how workflows move on inside one transaction; but for an opening nothing is written before ``write``.

What a batch of endings changes is changed in memory first, so that each of them sees the others and a join
of thousands costs the same for each member.
"""

from __future__ import annotations

from collections.abc import Iterable

from aioqueue.adapters.sqlite import flows as table
from aioqueue.adapters.sqlite import joins, records, scopes
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.flows import ENDED, NEVER, RELEASED, WAITING, Step
from aioqueue.adapters.sqlite.joins import Filling
from aioqueue.adapters.sqlite.records import Entry
from aioqueue.adapters.sqlite.scopes import Fence
from aioqueue.adapters.sqlite.seen import Seen
from aioqueue.advance import cancelled, ended, failed, opened, openers, paged, released, rest_of
from aioqueue.models.state import State
from aioqueue.protocols.flow import PAGE, Join, Member, Opening, Place, Range, Scope
from aioqueue.protocols.messages import OPEN_TTL, Ending, Message, Record


class Move:
    """Workflows inside one step. entries: records that the step has read; changed: those to be saved.

    messages: what is released. again: what was released before and has not started is released again.
    ttl: seconds that what it ends is shown.
    """

    def __init__(
        self, tx: Transaction, entries: dict[str, Entry], *, again: bool = False, ttl: float = 0.0
    ) -> None:
        self.messages: list[Message] = []
        self.changed: dict[str, Entry] = {}
        self._tx = tx
        self._seen = Seen(tx, entries)
        self._again = again
        self._ttl = ttl
        self._members: dict[Place, Member] = {}
        self._openers: dict[str, tuple[str, int]] = {}
        self._moved: dict[str, Step] = {}
        self._filled: dict[str, Filling] = {}
        self._freed: list[str] = []
        self._closed: dict[str, Fence] = {}
        self._kept: dict[str, float] = {}
        self._shown: dict[str, float] = {}
        self._left: set[str] = set()

    def read(self, ids: Iterable[str]) -> None:
        """Read at once what endings of these tasks will need."""
        self._seen.read(ids)

    def entry(self, id: str) -> Entry | None:
        """Return a record as it stands in this step."""
        return self._seen.entry(id)

    def bars(self, entry: Entry) -> bool:
        """Tell whether a task that is not final reads CANCELLED, and so may not start, or commit."""
        return self._seen.bars(entry)

    def end(self, ending: Ending) -> None:
        """Move on from an ending."""
        if ending.opening is not None:
            self.open(ending.opening)
            return
        id = ending.delivery.message.id
        step = self._seen.step(id)
        if step is None:
            return
        if ending.state.final:
            self._ttl = ending.ttl
            self._show(step.flow)
            self._leave(step)
            ended(self, ending, into=step.into, scope=step.scope)
        self._keep(step.flow, (ending.next_at or self._tx.now) + OPEN_TTL)

    def open(self, opening: Opening) -> bool:
        """Start a workflow; False if it was before."""
        first = table.open_whole(self._tx, opening)
        self._keep(opening.workflow, self._tx.now + OPEN_TTL)
        self._ttl = opening.ttl
        if first and opening.full:
            self._show(opening.workflow)
        opened(self, opening)
        self._left.add(opening.workflow)
        return first

    def more(self, message: Message) -> None:
        """Release the next page that an OPEN message stands for."""
        workflow, nodes = rest_of(message)
        self._keep(workflow, self._tx.now + OPEN_TTL)
        table.move_steps(self._tx, [Step(message.id, workflow, ENDED, None, None)])
        released(self, f"{workflow}.0", nodes)

    def bar(self, entry: Entry) -> None:
        """Write that a node which may not start has been cancelled."""
        step = self._seen.step(entry.id)
        if step is not None:
            self._bar(entry, step)

    def bar_some(self, workflow: str) -> None:
        """Cancel nodes of a cancelled whole of which no attempt runs, a page of them at most."""
        found = table.waiting(self._tx, workflow, PAGE)
        steps = [self._seen.steps.setdefault(step.id, step) or step for step in found]
        self._seen.enclose(step.scope for step in steps)
        self._seen.load(step.id for step in steps)
        for step in steps:
            entry = self._seen.entries.get(step.id)
            if entry is not None and not entry.state.final and self._seen.is_closed(step.scope):
                self._bar(entry, step)

    def cancel(self, entry: Entry, *, ttl: float) -> None:
        """Cancel a task that is open, and what runs in its place. ttl: seconds its record is shown."""
        records.decide(entry, State.CANCELLED, ttl=ttl, now=self._tx.now)
        self._changes(entry)
        error = cancelled(entry.id, entry.name)
        if entry.plan is not None:
            self.call_off(entry.plan, error)
        step = self._seen.step(entry.id)
        if step is not None:
            self._leave(step)
            failed(self, step.scope, error)
        elif (fence := self._seen.fence_of_group(entry.id)) is not None:
            self._call_off(fence, error)

    def call_off(self, id: str, error: bytes) -> None:
        """Cancel a whole workflow, if it is open."""
        whole = table.whole(self._tx, id)
        fence = None if whole is None else self._seen.fence(whole.root)
        if whole is not None and fence is not None:
            self._call_off(fence, error)

    def refuse(self, ending: Ending, entry: Entry) -> None:
        """Let lapse what a task was to go on as, if that has ended meanwhile, or will not."""
        if ending.opening is not None and (entry.state.final or self.bars(entry)):
            table.discard(self._tx, ending.opening.workflow)

    def is_cancelled(self, scope: str | None) -> bool:
        """Tell whether a scope is part of a whole that was cancelled."""
        return self._seen.is_cancelled(scope)

    def tell_again(self, scope: str | None) -> None:
        """Release again what the closed scopes around a node of a cancelled whole are to tell."""
        again, self._again = self._again, True
        for fence in self._seen.closed_around(scope) if self.is_cancelled(scope) else ():
            self.release(fence.scope.id, fence.scope.then)
        self._again = again

    def told_again(self, id: str) -> tuple[Message, ...]:
        """Return what is told of the cancelled whole that a node is part of and has not started."""
        step, before = self._seen.step(id), len(self.messages)
        self.tell_again(None if step is None else step.scope)
        return tuple(self.messages[before:])

    def join(self, id: str) -> Join | None:
        filling = self._seen.filling(id)
        return None if filling is None or filling.freed else filling.join

    def put(self, place: Place, member: Member) -> int:
        filling = self._seen.filling(place.join)
        if filling is None or not self._seen.take(place):
            return 0
        self._members[place] = member
        filling.joined += 1
        self._filled[place.join] = filling
        if filling.join.shown:
            self._renew(place.join)
        return filling.joined

    def scope(self, id: str) -> Scope | None:
        fence = self._seen.fence(id)
        return None if fence is None else fence.scope

    def close(self, id: str, error: bytes | None) -> bool:
        fence = self._seen.fence(id)
        if fence is None or self.is_closed(id):
            return False
        fence.closed, fence.error = self._tx.now, error
        self._closed[id] = fence
        return True

    def is_closed(self, id: str | None) -> bool:
        return self._seen.is_closed(id)

    def has_begun(self, scope: Scope) -> bool:
        step = self._seen.step(f"{scope.id.rpartition('.')[0]}.{scope.first}")
        return step is None or step.stage in (RELEASED, ENDED)

    def release(self, owner: str, nodes: Range) -> list[tuple[Place, bytes]]:
        workflow = owner.rpartition(".")[0]
        first, rest = paged(nodes)
        found = table.page(self._tx, workflow, Range(nodes.first, first.count + min(rest.count, 1)))
        page = [self._seen.steps.setdefault(step.id, step) or step for step in found]
        following = page.pop() if rest.count and len(page) > first.count else None
        self._seen.enclose(step.scope for step in page)
        self._seen.load(step.id for step in page)
        due = [step for step in page if self._may_release(step)]
        messages = table.messages(self._tx, [step.id for step in [*due, *([following] if following else [])]])
        for step in due:
            self._release(step, messages[step.id])
        if following is not None and following.id in messages:
            queues = table.queues(self._tx, f"{workflow}.{rest.first + rest.count - 1}")
            for message in openers(workflow, rest, messages[following.id], queues):
                if self._may_open(message.id):
                    self._openers[message.id] = (workflow, rest.first)
                    self.messages.append(message)
        return [each for step in page for each in self._seen.early(step)]

    def succeed(self, id: str) -> None:
        self._decide(self._seen.entry(id) or _of_join(id, self._tx.now), State.SUCCESS)

    def fail(self, id: str, error: bytes, state: State) -> None:
        step, entry = self._seen.step(id), self._seen.entry(id)
        if step is None:
            self._decide(entry or _of_join(id, self._tx.now), state, error=error)
        elif not step.over:
            if entry is None:
                entry = records.pending(table.messages(self._tx, [id])[id], self._tx.now)
            self._decide(entry, state, error=error)
            self._leave(step)

    def succeed_task(self, id: str, member: Member) -> Place | None:
        step = self._decide_task(id, State.SUCCESS, value=member.value, joined=member.join)
        return None if step is None else step.into

    def fail_task(self, id: str, error: bytes) -> str | None:
        step = self._decide_task(id, State.FAILURE, error=error)
        return None if step is None else step.scope

    def free(self, id: str) -> None:
        filling = self._seen.filling(id)
        if filling is not None and not filling.freed:
            filling.freed = 1
            self._filled[id] = filling
            if filling.join.size <= PAGE:
                self._freed.append(id)

    def write(self) -> None:
        """Write all of it but the records, which are in *changed*."""
        tx = self._tx
        if not self._kept:
            return
        joins.add_members(tx, self._members.items())
        joins.save(tx, self._filled.values())
        if self._closed:
            scopes.save(tx, self._closed.values())
            within = {fence.flow for fence in self._closed.values()}
            tx.news.flows |= within | table.inside(tx, within)
        table.move_steps(tx, self._moved.values())
        table.add_openers(tx, self._openers)
        self._end_tasks()
        if self._freed:
            joins.empty(tx, self._freed, most=PAGE * len(self._freed) + 1)
        homes = {id: home for id, home in table.homes(tx, self._kept).items() if home.kept > tx.now}
        for id, home in homes.items():
            home.shown = max(home.shown, self._shown.get(id, 0.0))
            home.kept = max(home.kept, self._kept[id])
        for home in homes.values():
            if not home.moving:
                # while nothing is released nothing can move it any more
                home.kept = home.shown
        table.keep(tx, {home.id: home for home in homes.values()}.values())

    def _call_off(self, fence: Fence, error: bytes) -> None:
        """Cancel all that a scope is around, what runs too."""
        self._keep(fence.flow, self._tx.now + OPEN_TTL)
        fence.cancelled, self._seen.cancels = self._tx.now, True
        self._closed[fence.scope.id] = fence
        failed(self, fence.scope.id, error, State.CANCELLED)

    def _may_release(self, step: Step) -> bool:
        if step.over or self._seen.is_closed(step.scope):
            return False
        entry = self._seen.entries.get(step.id)
        return step.stage == WAITING or (self._again and entry is not None and entry.state is State.PENDING)

    def _release(self, step: Step, message: Message) -> None:
        entry = self._seen.entries.get(step.id)
        if entry is None:
            entry = self._seen.entries[step.id] = records.pending(message, self._tx.now)
        records.release(entry, message, self._tx.now)
        self.changed[step.id] = entry
        step.stage = RELEASED
        self._moved[step.id] = step
        self._keep(step.flow, entry.kept)
        self.messages.append(message)

    def _leave(self, step: Step) -> None:
        step.stage = ENDED if step.stage in (RELEASED, ENDED) else NEVER
        self._moved[step.id] = step
        self._left.add(step.flow)
        self._keep(step.flow, self._tx.now + OPEN_TTL)

    def _end_tasks(self) -> None:
        """End tasks in whose place workflows run that move no more, if they can end no other way."""
        while self._left:
            tasks, self._left = table.quiet(self._tx, self._left), set[str]()
            for task in tasks:
                entry, step = self._seen.entry(task), self._seen.step(task)
                if entry is None or step is None or entry.state.final or step.over or not self.bars(entry):
                    continue
                self._bar(entry, step)
                table.move_steps(self._tx, [step])

    def _bar(self, entry: Entry, step: Step) -> None:
        """End a node that may not start; it is shown as long as what has decided that."""
        if not entry.state.final:
            home = table.homes(self._tx, [step.flow])[step.flow]
            until = max(home.shown, self._shown.get(step.flow, 0.0), self._tx.now)
            records.decide(entry, State.CANCELLED, ttl=until - self._tx.now, now=self._tx.now)
            self.changed[entry.id] = entry
            self._tx.news.ended.add(entry.id)
        self._leave(step)

    def _decide(
        self,
        entry: Entry,
        state: State,
        *,
        error: bytes | None = None,
        value: bytes | None = None,
        joined: str | None = None,
    ) -> bool:
        self._seen.entries[entry.id] = entry
        if entry.state.final:
            return False
        records.decide(entry, state, error=error, value=value, joined=joined, ttl=self._ttl, now=self._tx.now)
        self._changes(entry)
        return True

    def _decide_task(
        self,
        id: str,
        state: State,
        *,
        error: bytes | None = None,
        value: bytes | None = None,
        joined: str | None = None,
    ) -> Step | None:
        """Let a task that goes on as a workflow read a final state; return the node that has ended so."""
        entry = self._seen.entry(id) or records.opened(Record(id, "", ""), until=self._tx.now + OPEN_TTL)
        if not self._decide(entry, state, error=error, value=value, joined=joined):
            return None
        step = self._seen.step(id)
        if step is not None:
            self._leave(step)
        return step

    def _changes(self, entry: Entry) -> None:
        self.changed[entry.id] = entry
        self._tx.news.ended.add(entry.id)
        self._show(entry.id.rpartition(".")[0])

    def _renew(self, id: str) -> None:
        entry = self._seen.entry(id)
        if entry is not None and not entry.state.final:
            entry.shown = entry.kept = max(entry.kept, self._tx.now + OPEN_TTL)
            self.changed[id] = entry

    def _show(self, flow: str) -> None:
        self._shown[flow] = max(self._shown.get(flow, 0.0), self._tx.now + self._ttl)

    def _keep(self, flow: str, until: float) -> None:
        self._kept[flow] = max(self._kept.get(flow, 0.0), until)

    def _may_open(self, opener: str) -> bool:
        """Tell whether an OPEN message was not left yet, or is on its way and may not have got there."""
        left = None if opener in self._openers else table.steps(self._tx, [opener]).get(opener)
        if left is None:
            return opener not in self._openers
        return self._again and left.stage == RELEASED


def _of_join(id: str, now: float) -> Entry:
    """Return the open record of a join."""
    return records.opened(Record(id, "group", ""), until=now + OPEN_TTL)

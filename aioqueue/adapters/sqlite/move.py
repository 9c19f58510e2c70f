"""Move: how workflows move on inside one transaction; nothing is written before ``write``.

What a batch of endings touches is read at once, and changed in memory, so that each of them sees the
others and a join of thousands costs the same for each member.
"""

from __future__ import annotations

from collections.abc import Iterable

from aioqueue.adapters.sqlite import flows as table
from aioqueue.adapters.sqlite import records
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.flows import ENDED, RELEASED, WAITING, Fence, Filling, Flow, Step
from aioqueue.adapters.sqlite.records import Entry
from aioqueue.advance import SHOWN_TTL, ended, opened, opener, paged, rest_of
from aioqueue.models.state import State
from aioqueue.protocols.flow import PAGE, Join, Member, Node, Opening, Page, Place, Range, Scope
from aioqueue.protocols.messages import COMMIT_TTL, OPEN_TTL, Ending, Message, Record


class Move:
    """Workflows inside one step. entries: records that the step has read; changed: those to be saved.

    messages: what is released. again: what was released before and has not started is released again.
    """

    def __init__(self, tx: Transaction, entries: dict[str, Entry], *, again: bool = False) -> None:
        self.messages: list[Message] = []
        self.changed: dict[str, Entry] = {}
        self._tx = tx
        self._entries = entries
        self._again = again
        self._ttl = SHOWN_TTL
        self._steps: dict[str, Step | None] = {}
        self._joins: dict[str, Filling | None] = {}
        self._scopes: dict[str, Fence | None] = {}
        self._members: dict[Place, Member] = {}
        self._places: dict[Place, bool] = {}
        self._openers: dict[str, tuple[str, int]] = {}
        self._moved: dict[str, Step] = {}
        self._filled: dict[str, Filling] = {}
        self._freed: list[str] = []
        self._closed: list[str] = []
        self._kept: dict[str, float] = {}
        self._shown: dict[str, float] = {}

    def read(self, ids: Iterable[str]) -> None:
        """Read at once what endings of these tasks will need."""
        wanted = list(ids)
        self._steps.update(dict.fromkeys(wanted))
        possible = table.candidates(wanted)
        if not possible:
            return
        self._steps.update(table.steps(self._tx, possible))
        places = [step.into for id in possible if (step := self._steps[id]) is not None and step.into]
        self._joins.update(table.joins(self._tx, {place.join for place in places}))
        there = table.joined(self._tx, places)
        self._places.update({place: place in there for place in places})

    def end(self, ending: Ending) -> None:
        """Move on from an ending."""
        id = ending.delivery.message.id
        step = self._step(id)
        if step is None:
            return
        self._ttl = max(ending.ttl, SHOWN_TTL)
        self._show(step.flow)
        if ending.state.final:
            self._leave(step)
            ended(self, ending, into=step.into, scope=step.scope)
        self._keep(step.flow, (ending.next_at or self._tx.now) + OPEN_TTL)

    def open(self, opening: Opening) -> None:
        """Start a workflow."""
        self._keep(opening.workflow, self._tx.now + OPEN_TTL)
        opened(self, opening)

    def more(self, message: Message) -> None:
        """Release the next page that an OPEN message stands for."""
        workflow, nodes = rest_of(message)
        self._keep(workflow, self._tx.now + OPEN_TTL)
        table.move_steps(self._tx, [Step(message.id, workflow, ENDED, None, None)])
        self.release(f"{workflow}.0", nodes)

    def cancel(self, entry: Entry) -> None:
        """Write that a node which may not start has been cancelled."""
        self._ttl = COMMIT_TTL
        self._decide(entry, State.CANCELLED)
        step = self._step(entry.id)
        if step is not None:
            self._leave(step)

    def join(self, id: str) -> Join | None:
        filling = self._filling(id)
        return None if filling is None or filling.freed else filling.join

    def put(self, place: Place, member: Member) -> int:
        if place not in self._places:
            self._places[place] = place in table.joined(self._tx, [place])
        filling = self._filling(place.join)
        if filling is None or self._places[place]:
            return 0
        self._places[place] = True
        self._members[place] = member
        filling.joined += 1
        self._filled[place.join] = filling
        if filling.join.shown:
            self._renew(place.join)
        return filling.joined

    def scope(self, id: str) -> Scope | None:
        fence = self._fence(id)
        return None if fence is None else fence.scope

    def close(self, id: str) -> bool:
        fence = self._fence(id)
        if fence is None or self.is_closed(id):
            return False
        fence.closed = self._tx.now
        self._closed.append(id)
        self._tx.news.flows.add(fence.flow)
        return True

    def is_closed(self, id: str | None) -> bool:
        while id is not None:
            fence = self._fence(id)
            if fence is None or fence.closed is not None:
                return fence is not None
            id = fence.scope.around
        return False

    def release(self, owner: str, nodes: Range) -> None:
        workflow = owner.rpartition(".")[0]
        first, rest = paged(nodes)
        found = table.page(self._tx, workflow, Range(nodes.first, first.count + min(rest.count, 1)))
        page = [self._steps.setdefault(step.id, step) or step for step in found]
        following = page.pop() if rest.count and len(page) > first.count else None
        missing = {step.scope for step in page if step.scope is not None} - self._scopes.keys()
        self._scopes.update(table.scopes(self._tx, missing))
        self._load(step.id for step in page)
        due = [step for step in page if self._may_release(step)]
        messages = table.messages(self._tx, [step.id for step in [*due, *([following] if following else [])]])
        for step in due:
            self._release(step, messages[step.id])
        if following is not None and following.stage == WAITING:
            message = opener(workflow, rest, messages[following.id])
            if self._again or not self._is_on_its_way(message.id):
                self._openers[message.id] = (workflow, rest.first)
                self.messages.append(message)

    def succeed(self, id: str) -> None:
        self._decide(self._entry(id) or _of_join(id, self._tx.now), State.SUCCESS)

    def fail(self, id: str, error: bytes) -> None:
        step, entry = self._step(id), self._entry(id)
        if step is None:
            self._decide(entry or _of_join(id, self._tx.now), State.FAILURE, error)
        elif step.stage != ENDED:
            if entry is None:
                entry = records.pending(table.messages(self._tx, [id])[id], self._tx.now)
            self._decide(entry, State.FAILURE, error)
            self._leave(step)

    def free(self, id: str) -> None:
        filling = self._filling(id)
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
        table.add_members(tx, self._members.items())
        table.save_joins(tx, self._filled.values())
        if self._closed:
            table.close_scopes(tx, self._closed)
        table.move_steps(tx, self._moved.values())
        table.add_openers(tx, [(id, flow, first) for id, (flow, first) in self._openers.items()])
        if self._freed:
            table.empty(tx, self._freed, most=PAGE * len(self._freed) + 1)
        kept: list[Flow] = []
        for flow in table.flows(tx, self._kept).values():
            if flow.kept <= tx.now:
                continue
            flow.shown = max(flow.shown, self._shown.get(flow.id, 0.0), tx.now + SHOWN_TTL)
            # while nothing is released nothing can move it any more
            flow.kept = max(flow.kept, self._kept[flow.id]) if flow.moving else flow.shown
            kept.append(flow)
        table.keep(tx, kept)

    def _may_release(self, step: Step) -> bool:
        if step.stage == ENDED or self.is_closed(step.scope):
            return False
        entry = self._entries.get(step.id)
        return step.stage == WAITING or (self._again and entry is not None and entry.state is State.PENDING)

    def _release(self, step: Step, message: Message) -> None:
        entry = self._entries.get(step.id)
        if entry is None:
            entry = self._entries[step.id] = records.pending(message, self._tx.now)
        records.release(entry, message, self._tx.now)
        self.changed[step.id] = entry
        step.stage = RELEASED
        self._moved[step.id] = step
        self._keep(step.flow, entry.kept)
        self.messages.append(message)

    def _leave(self, step: Step) -> None:
        step.stage = ENDED
        self._moved[step.id] = step
        self._keep(step.flow, self._tx.now + OPEN_TTL)

    def _decide(self, entry: Entry, state: State, error: bytes | None = None) -> None:
        self._entries[entry.id] = entry
        if entry.state.final:
            return
        records.decide(entry, state, error=error, ttl=self._ttl, now=self._tx.now)
        self.changed[entry.id] = entry
        self._tx.news.ended.add(entry.id)
        self._show(entry.id.rpartition(".")[0])

    def _renew(self, id: str) -> None:
        entry = self._entry(id)
        if entry is not None and not entry.state.final:
            entry.shown = entry.kept = max(entry.kept, self._tx.now + OPEN_TTL)
            self.changed[id] = entry

    def _show(self, flow: str) -> None:
        self._shown[flow] = max(self._shown.get(flow, 0.0), self._tx.now + self._ttl)

    def _keep(self, flow: str, until: float) -> None:
        self._kept[flow] = max(self._kept.get(flow, 0.0), until)

    def _is_on_its_way(self, opener: str) -> bool:
        return opener in self._openers or opener in table.steps(self._tx, [opener])

    def _load(self, ids: Iterable[str]) -> None:
        missing = [id for id in ids if id not in self._entries]
        if missing:
            self._entries.update(records.load(self._tx, missing))

    def _entry(self, id: str) -> Entry | None:
        self._load([id])
        return self._entries.get(id)

    def _step(self, id: str) -> Step | None:
        if id not in self._steps:
            self._steps[id] = table.steps(self._tx, [id]).get(id)
        return self._steps[id]

    def _filling(self, id: str) -> Filling | None:
        if id not in self._joins:
            self._joins[id] = table.joins(self._tx, [id]).get(id)
        return self._joins[id]

    def _fence(self, id: str) -> Fence | None:
        if id not in self._scopes:
            self._scopes[id] = table.scopes(self._tx, [id]).get(id)
        return self._scopes[id]


def plan(tx: Transaction, page: Page) -> None:
    """Keep some of a workflow; what is kept already stays as it is."""
    nodes, joins, scopes = page.nodes, page.joins, page.scopes
    ids = [*(n.message.id for n in nodes), *(j.id for j in joins), *(s.id for s in scopes)]
    kept = _made(tx, {table.parts(id)[0] for id in ids})
    shown = [join.id for join in joins if join.shown]
    names = [node.message.id for node in nodes]
    there = table.steps(tx, names)
    entries = records.load(tx, [*names, *shown])
    fresh: list[Entry] = []
    new: list[Node] = []
    for node in nodes:
        message, entry = node.message, entries.get(node.message.id)
        until = message.due(tx.now) + OPEN_TTL
        flow = kept[table.parts(message.id)[0]]
        flow.kept = max(flow.kept, until)
        if message.id in there or (entry is not None and entry.state is not State.PENDING):
            continue
        new.append(node)
        if entry is None:
            record = Record(message.id, message.name, message.queue, sent=message.sent or tx.now)
            fresh.append(records.opened(record, until=until))
    fresh += [_of_join(id, kept[table.parts(id)[0]].kept - OPEN_TTL) for id in shown if id not in entries]
    table.add_steps(tx, new)
    table.save_joins(tx, [Filling(join, table.parts(join.id)[0]) for join in joins], new=True)
    table.add_scopes(tx, scopes)
    table.keep(tx, kept.values())
    records.save(tx, fresh)


def _made(tx: Transaction, ids: set[str]) -> dict[str, Flow]:
    """Return workflows that are there, or begin; what is left of one whose time is over goes."""
    found = table.flows(tx, ids)
    past = [id for id, flow in found.items() if flow.kept <= tx.now]
    if past:
        records.remove(tx, table.drop(tx, past)[1])
    return {
        id: found[id] if id in found and id not in past else Flow(id, tx.now + OPEN_TTL, 0.0) for id in ids
    }


def _of_join(id: str, now: float) -> Entry:
    """Return the open record of a join."""
    return records.opened(Record(id, "group", ""), until=now + OPEN_TTL)

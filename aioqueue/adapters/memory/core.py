"""MemoryCore: the state that the memory broker, backend and store share.

Every transition is a plain synchronous method, so nothing can come between its steps. Leases are
beaten from threads too, and have a lock; they last by the time that passes, whoever sets the clock.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from collections import Counter, deque
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from aioqueue.adapters.memory.flows import Flows
from aioqueue.adapters.memory.limits import Key, Limiters
from aioqueue.adapters.memory.records import Records, Row
from aioqueue.clock import Clock, passing
from aioqueue.errors import QueueFullError
from aioqueue.models.state import State
from aioqueue.models.stats import DeadLetter
from aioqueue.protocols.messages import SUSPECT, Message, Record
from aioqueue.turns import Group

MAX_DEAD = 10_000
DEAD_TTL = 180 * 86_400.0


@dataclass(slots=True)
class Entry:
    """A message and who holds it. scope: of whose slots it has one while it is held."""

    message: Message
    seq: int
    due: float
    owner: str | None = None
    receipt: int = 0
    losses: int = 0
    first_seen: float | None = None
    scope: str | None = None

    @property
    def key(self) -> Key:
        return (self.message.id, self.message.attempt, self.message.hop)


Place = tuple[int, Entry]
"""Where an entry stands in its lane: behind older ones."""

LANES: Final = 10
"""A lane a priority."""


def _lanes() -> list[list[Place]]:
    return [[] for _ in range(LANES)]


@dataclass(slots=True)
class Line:
    """One queue: what is ready, suspects apart, each by priority, and what waits for its moment."""

    ready: list[list[Place]] = field(default_factory=_lanes)
    suspects: list[list[Place]] = field(default_factory=_lanes)
    delayed: list[tuple[float, int, Entry]] = field(default_factory=list[tuple[float, int, Entry]])
    held: int = 0
    dead: int = 0

    @property
    def size(self) -> int:
        """How many wait, wait for their moment or are held."""
        return self.waiting + len(self.delayed) + self.held

    @property
    def waiting(self) -> int:
        """How many are ready."""
        return sum(map(len, self.ready)) + sum(map(len, self.suspects))

    def push(self, entry: Entry, now: float) -> None:
        if entry.due > now:
            heapq.heappush(self.delayed, (entry.due, entry.seq, entry))
        else:
            self._make_ready(entry)

    def promote(self, now: float) -> None:
        while self.delayed and self.delayed[0][0] <= now:
            self._make_ready(heapq.heappop(self.delayed)[2])

    def remove(self, seqs: Container[int]) -> None:
        """Forget entries that wait."""
        for lane in (*self.ready, *self.suspects):
            lane[:] = [place for place in lane if place[0] not in seqs]
            heapq.heapify(lane)
        self.delayed = [place for place in self.delayed if place[1] not in seqs]
        heapq.heapify(self.delayed)

    def _make_ready(self, entry: Entry) -> None:
        lanes = self.ready if entry.losses < SUSPECT else self.suspects
        heapq.heappush(lanes[entry.message.priority], (entry.seq, entry))


class MemoryCore:
    """Messages, records and leases of one named store."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lines: dict[str, Line] = {}
        self.entries: dict[Key, Entry] = {}
        self.held: dict[str, dict[int, Entry]] = {}
        self.paused: set[str] = set()
        self.dead: deque[DeadLetter] = deque()
        self.values: dict[str, tuple[bytes, float | None]] = {}
        self.watched: list[tuple[str, asyncio.Event]] = []
        self.records: Records = Records(clock)
        self.flows: Flows = Flows(clock, self.records)
        self.records.barred_at = self.flows.barred_at
        self.records.scopes_around = self.flows.scopes_around
        self.records.called_by = self.flows.called_by
        self.limiters: Limiters = Limiters(clock, self.make_ready)
        self.listeners: set[asyncio.Event] = set()
        self._counter = itertools.count(1)
        self._leases: dict[str, tuple[float, float]] = {}
        self._beating = threading.Lock()
        self._passed = passing(clock)

    def line(self, queue: str) -> Line:
        return self.lines.setdefault(queue, Line())

    def add(self, messages: Iterable[Message], *, losses: int = 0) -> list[bool]:
        """Add messages; False for each copy of one that waits or is held."""
        now = self.clock.time()
        added: list[bool] = []
        for message in messages:
            entry = Entry(message, next(self._counter), message.due(now), losses=losses)
            new = entry.key not in self.entries
            if new:
                self.entries[entry.key] = entry
                self.line(message.queue).push(entry, now)
            added.append(new)
        self.ring()
        return added

    def withdraw(self, records: Iterable[Record]) -> None:
        """Forget the messages of tasks that wait; each is given as it stood, an attempt or the one before."""
        gone: dict[str, set[int]] = {}
        for record in records:
            for attempt in (record.attempt, record.attempt + 1):
                entry = self.entries.get((record.id, attempt, 0))
                if entry is not None and entry.owner is None:
                    del self.entries[entry.key]
                    self.limiters.gone(entry.key)
                    gone.setdefault(entry.message.queue, set()).add(entry.seq)
        for queue, seqs in gone.items():
            self.line(queue).remove(seqs)

    def require_room(self, messages: Iterable[Message], limit: int) -> None:
        """Raise QueueFullError if a queue would hold more than *limit* with those that are new."""
        new: dict[Key, str] = {}
        for message in messages:
            key = (message.id, message.attempt, message.hop)
            known = message.tracked and self.records.row(message.id) is not None
            if not known and key not in self.entries:
                new[key] = message.queue
        for queue, count in Counter(new.values()).items():
            held = self.lines[queue].size if queue in self.lines else 0
            if held + count > limit:
                raise QueueFullError.of(queue, limit=limit, held=held, new=count)

    def submit(self, messages: Iterable[Message], *, losses: int = 0) -> list[bool]:
        """Add new tasks, records first; False for each id that is known."""
        now = self.clock.time()
        added: list[bool] = []
        for message in messages:
            new = message.attempt > 1 or not message.tracked or self.records.create(message, now)
            added.append(new and self.add([message], losses=losses if message.attempt > 1 else 0)[0])
        return added

    def ring(self) -> None:
        """Wake every consumer that waits."""
        for event in self.listeners:
            event.set()

    def take(self, group: Group, owner: str) -> Entry | None:
        """Hand the next ready entry of a group of queues to *owner*, whose lease must be alive."""
        if self.alive(owner) <= 0:
            return None
        now = self.clock.time()
        lines = [self.line(queue) for queue in group.queues if queue not in self.paused]
        for line in lines:
            line.promote(now)
        kinds = [line.ready for line in lines]
        suspects = [line.suspects for line in lines if any(line.suspects)]
        # there are few, and all that is held would be looked at for each that is taken
        if suspects and not any(entry.losses >= SUSPECT for entry in self.held.get(owner, {}).values()):
            kinds += suspects
        waiting = [lane for lane in reversed(range(LANES)) if any(kind[lane] for kind in kinds)]
        if not waiting:
            return None
        lane, _ = group.next(waiting)
        group.gave(waiting, lane, 1)
        oldest = min((kind[lane] for kind in kinds if kind[lane]), key=lambda heap: heap[0][0])
        entry = heapq.heappop(oldest)[1]
        entry.owner, entry.receipt = owner, next(self._counter)
        self.held.setdefault(owner, {})[entry.receipt] = entry
        self.line(entry.message.queue).held += 1
        return entry

    def next_due(self, queues: Sequence[str]) -> float | None:
        """Return the moment the next delayed entry of *queues* is due, of those that are not."""
        now = self.clock.time()
        lines = [self.line(queue) for queue in queues]
        for line in lines:
            line.promote(now)
        return min((line.delayed[0][0] for line in lines if line.delayed), default=None)

    def pause(self, queue: str, *, on: bool) -> bool:
        """Pause a queue, or resume it; False if it was so before."""
        if (queue in self.paused) is on:
            return False
        self.line(queue)
        (self.paused.add if on else self.paused.discard)(queue)
        self.ring()
        return True

    def holds(self, owner: str, receipt: object) -> Entry | None:
        """Return the entry *owner* holds under *receipt*."""
        return self.held.get(owner, {}).get(receipt) if isinstance(receipt, int) else None

    def drop(self, entry: Entry) -> None:
        """Forget a held entry."""
        self._let_go(entry)
        del self.entries[entry.key]
        self.limiters.gone(entry.key)

    def put_off(self, entry: Entry, until: float) -> None:
        """Put a held entry back until a moment, as if it had been sent with that."""
        self._let_go(entry)
        entry.due = until
        self.line(entry.message.queue).push(entry, self.clock.time())
        self.ring()

    def make_ready(self, key: Key, due: float) -> bool:
        """Make ready now what is put off until *due*; False if it is not, or is not there any more."""
        now, entry = self.clock.time(), self.entries.get(key)
        if entry is None or entry.owner is not None or entry.due != due or due <= now:
            return False
        line = self.line(entry.message.queue)
        line.remove({entry.seq})
        entry.due = now
        line.push(entry, now)
        self.records.is_due(entry.message.id, now)
        self.ring()
        return True

    def give_back(self, entry: Entry, *, delay: float = 0.0) -> None:
        """Put a held entry back where it stood."""
        now = self.clock.time()
        self._let_go(entry)
        if delay > 0 and entry.first_seen is None:
            entry.first_seen = now
        entry.due = now + delay
        self.line(entry.message.queue).push(entry, now)
        self.ring()

    def bury(self, message: Message, reason: str) -> None:
        """Add a dead letter."""
        now = self.clock.time()
        self.line(message.queue).dead += 1
        self.sweep_dead(most=MAX_DEAD - 1)
        self.dead.append(
            DeadLetter(
                id=message.id,
                name=message.name,
                queue=message.queue,
                reason=reason,
                body=message.body,
                attempt=message.attempt,
                at=now,
                priority=message.priority,
                key=str(next(self._counter)),
            )
        )

    def sweep_values(self) -> None:
        """Drop values of the shared map whose time is over."""
        now = self.clock.time()
        for key in [key for key, (_, until) in self.values.items() if until is not None and until <= now]:
            del self.values[key]

    def sweep_dead(self, most: int = MAX_DEAD) -> None:
        """Drop the oldest dead letters beyond *most*, and those whose time is over."""
        oldest = self.clock.time() - DEAD_TTL
        while self.dead and (len(self.dead) > most or self.dead[0].at < oldest):
            self.line(self.dead.popleft().queue).dead -= 1

    def beat(self, owner: str, *, seconds: float | None = None) -> bool:
        """Start (*seconds* given) or extend a lease; False if it had lapsed."""
        with self._beating:
            now = self._passed()
            if seconds is None:
                if owner not in self._leases or self._leases[owner][0] <= now:
                    return False
                seconds = self._leases[owner][1]
            self._leases[owner] = (now + seconds, seconds)
        return True

    def end(self, owner: str) -> None:
        """End *owner*'s lease."""
        with self._beating:
            self._leases.pop(owner, None)

    def alive(self, owner: str | None) -> float:
        """Return the seconds *owner*'s lease still has; 0 or less if it has lapsed."""
        lease = None if owner is None else self._leases.get(owner)
        return 0.0 if lease is None else lease[0] - self._passed()

    def runs(self, row: Row) -> bool:
        """Tell whether a task runs, by a live owner or as a workflow."""
        started = row.record.state is State.STARTED and not row.ended
        return started and (row.record.plan is not None or self.alive(row.owner) > 0)

    def take_over(self) -> int:
        """Hand on what lapsed owners hold, counting each as a loss."""
        with self._beating:
            for owner in [owner for owner in self._leases if self.alive(owner) <= 0]:
                del self._leases[owner]
            lost = [owner for owner in self.held if owner not in self._leases]
        return sum(self.lose(owner) for owner in lost)

    def lose(self, owner: str) -> int:
        """End *owner*'s lease and hand on what it holds, counting each as a loss."""
        self.end(owner)
        entries = list(self.held.get(owner, {}).values())
        for entry in entries:
            entry.losses += 1
            self.records.lose(entry.message.id, owner)
            self.give_back(entry)
        return len(entries)

    def _let_go(self, entry: Entry) -> None:
        if entry.owner is None:
            return
        mine = self.held[entry.owner]
        del mine[entry.receipt]
        if not mine:
            del self.held[entry.owner]
        self.line(entry.message.queue).held -= 1
        entry.owner = None
        if entry.scope is not None:
            scope, entry.scope = entry.scope, None
            self.limiters.left(scope, entry.receipt)

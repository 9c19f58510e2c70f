"""Records: the tasks' records in memory, and those who wait for them.

A row outlives its value where it is the commit record that keeps a second attempt from running.
Of the times at which rows are to be dropped, those that were put off or forestalled are cleared
away once they outnumber the rows.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from aioqueue.adapters.memory.keys import Keys
from aioqueue.adapters.memory.log import RowLog
from aioqueue.clock import Clock
from aioqueue.models.state import State
from aioqueue.protocols.log import Log, Note, Standing
from aioqueue.protocols.messages import COMMIT_TTL, HISTORY, OPEN_TTL, Attempt, Ending, Message, Record

_SPARE: Final = 64


@dataclass(slots=True)
class Row:
    """A record, who owns it, and until when it is shown and kept, its value or not (Unix seconds).

    look: when upkeep comes to see to it; None until that is fixed. moved: what the workflow released by it.
    history: attempts that were not the last. key: a unique one that it has claimed. log: what its runs have
    told.
    """

    record: Record
    owner: str | None = None
    shown: float = 0.0
    kept: float = 0.0
    commit_kept: float = 0.0
    look: float | None = None
    forgotten: bool = False
    follow: tuple[Message, ...] = ()
    moved: tuple[Message, ...] = ()
    dead: str | None = None
    history: tuple[Attempt, ...] = ()
    log: RowLog | None = None
    key: str | None = None

    def remember(self, now: float, error: bytes | None, next_at: float | None = None) -> None:
        """Write that the attempt on record has ended and was not the last; without *error* it was lost."""
        record = self.record
        ended = Attempt(record.attempt, error, record.worker, record.started, now, next_at)
        self.history = (*self.history, ended)[-HISTORY:]

    @property
    def ended(self) -> bool:
        """True when nothing of the task runs any more; it may go on as a workflow."""
        return self.record.state.final or self.record.plan is not None


class Records:
    """All rows of one store. barred_at: from when on a record that is not final reads CANCELLED.

    scopes_around: those of which each bars a task once it is closed. called_by: by whose success it is never
    called.
    """

    def __init__(self, clock: Clock) -> None:
        self.barred_at: Callable[[Record], float | None] = lambda record: None
        self.scopes_around: Callable[[str], Sequence[str]] = lambda id: ()
        self.called_by: Callable[[str], str | None] = lambda id: None
        self._clock = clock
        self.keys: Keys = Keys(clock)
        self._rows: dict[str, Row] = {}
        self._times: list[tuple[float, str]] = []
        self._waiters: dict[str, set[asyncio.Event]] = {}
        self._within: dict[str, set[asyncio.Event]] = {}

    def row(self, id: str) -> Row | None:
        """Return the row that is still kept."""
        row = self._rows.get(id)
        return row if row is not None and row.kept > self._clock.time() else None

    def shown(self, id: str) -> Record | None:
        """Return the record that may be shown."""
        row = self.row(id)
        if row is None or row.forgotten or row.shown <= self._clock.time():
            return None
        if row.record.state.final or (barred := self.barred_at(row.record)) is None:
            return row.record
        return replace(row.record, state=State.CANCELLED, finished=barred, due=None)

    def create(self, message: Message, now: float) -> bool:
        """Write PENDING for a new task; False if its id is known."""
        if self.row(message.id) is not None:
            return False
        due = message.due(now)
        record = Record(
            message.id,
            message.name,
            message.queue,
            sent=message.sent or now,
            due=due,
            attempt=message.attempt,
        )
        row = Row(record)
        if message.unique is not None and message.attempt == 1:
            row.key = self.keys.take(message.unique, message.id, max(due, now))
        self.write(row, until=max(due, now) + OPEN_TTL)
        return True

    def holder(self, task: Message | Record) -> str | None:
        """Return the other task that has the key a new one claims; None where it may have it."""
        if task.unique is None or task.attempt > 1 or self.row(task.id) is not None:
            return None
        hold = self.keys.hold(task.unique.key)
        row = None if hold is None else self.row(hold.id)
        return row.record.id if hold is not None and row is not None and hold.lasts(row.record) else None

    def history(self, id: str) -> list[Attempt]:
        """Return the attempts of a task that were not the last."""
        row = self.row(id)
        return [] if row is None or self.shown(id) is None else list(row.history)

    def put(self, record: Record, *, until: float = 0.0) -> bool:
        """Write a PENDING record; False if there is one that has started or ended."""
        row = self.row(record.id)
        if row is not None:
            return row.record.state is State.PENDING
        now = self._clock.time()
        row = Row(record if record.unique is None else replace(record, unique=None))
        if record.unique is not None:
            row.key = self.keys.take(record.unique, record.id, max(record.due or now, now))
        self.write(row, until=max(record.due or now, now, until - OPEN_TTL) + OPEN_TTL)
        return True

    def plan(self, message: Message, now: float) -> bool:
        """Write PENDING for a task whose moment is not known yet; False if there is one of that id."""
        row = self.row(message.id)
        if row is not None and (not row.record.state.final or self.shown(message.id) is not None):
            return False
        record = Record(message.id, message.name, message.queue, sent=message.sent or now)
        self.write(Row(record), until=message.due(now) + OPEN_TTL)
        return True

    def release(self, message: Message, now: float) -> None:
        """Write when a planned task is due, making the record again if it is gone."""
        due = message.due(now)
        row = self.row(message.id) or Row(
            Record(message.id, message.name, message.queue, sent=message.sent or now)
        )
        if not row.record.state.final:
            row.record = replace(row.record, due=due)
            self.write(row, until=max(due, now) + OPEN_TTL)

    def renew(self, id: str, now: float) -> None:
        """Keep an open record longer, if there is one."""
        row = self.row(id)
        if row is not None and not row.record.state.final:
            self.write(row, until=max(row.kept, now + OPEN_TTL))

    def decide(self, record: Record, *, ttl: float) -> bool:
        """Write a final *record* that no attempt has brought about; False if there is a final one.

        It outlasts the message, which may come when it is due.
        """
        now = self._clock.time()
        row = self.row(record.id) or Row(record)
        if row.record.finished is not None:
            return False
        late = max(now, row.record.due or now) + COMMIT_TTL
        row.record = replace(
            row.record,
            state=record.state,
            value=None if row.forgotten else record.value,
            joined=None if row.forgotten else record.joined,
            error=record.error,
            finished=now,
            due=None,
        )
        if row.record.plan is None:
            row.owner, row.follow, row.moved, row.dead = None, (), (), None
        row.commit_kept = late
        self.keys.free(row.key, record.id)
        self.write(row, until=late if row.forgotten else max(late, now + ttl), shown=now + ttl)
        self.tell(record.id)
        return True

    def drop(self, id: str) -> None:
        """Drop a record."""
        row = self._rows.pop(id, None)
        if row is not None:
            self.keys.free(row.key, id)
        self.tell(id)

    def start(self, message: Message, *, owner: str, worker: str, losses: int | None = None) -> None:
        """Write STARTED for *owner*, making the record again if it is gone."""
        now = self._clock.time()
        row = self.row(message.id) or Row(
            Record(message.id, message.name, message.queue, sent=message.sent or None)
        )
        row.record = replace(
            row.record,
            state=State.STARTED,
            attempt=message.attempt,
            started=now,
            due=None,
            worker=worker,
            losses=row.record.losses if losses is None else losses,
        )
        row.owner, row.follow, row.moved, row.dead = owner, (), (), None
        self.write(row, until=now + OPEN_TTL)
        if message.id in self._waiters:
            self.tell(message.id)

    def note(self, id: str, notes: Sequence[Note], *, first: int, attempt: int, owner: str) -> bool:
        """Add to a task's log what *owner*'s attempt tells; False if it is not its to say."""
        row, record = self.row(id), self.shown(id)
        runs = record is not None and record.state is State.STARTED and record.plan is None
        if row is None or record is None or not runs or row.owner != owner or record.attempt != attempt:
            return False
        row.log = row.log or RowLog()
        row.log.add(record, notes, first=first, now=self._clock.time())
        self.tell(id)
        return True

    def log(self, id: str, after: int) -> Log | None:
        """Return record, attempts and a page of the log."""
        row, record = self.row(id), self.shown(id)
        if row is None or record is None:
            return None
        entries, more = ((), False) if row.log is None else row.log.page(after)
        return Log(record, row.history, entries, more)

    def stop(self, id: str, owner: str) -> Row | None:
        """Write that *owner*'s attempt never was; None if it is not its to say."""
        row = self.row(id)
        if row is None or row.ended or row.owner != owner or row.record.state is not State.STARTED:
            return None
        state = State.PENDING if row.record.attempt == 1 else State.RETRY
        row.record = replace(row.record, state=state, started=None, worker=None)
        row.owner = None
        return row

    def is_due(self, id: str, now: float) -> None:
        """Write that a task waits no longer for its moment."""
        row = self.row(id)
        if row is not None and row.record.due is not None:
            row.record = replace(row.record, due=now)

    def lose(self, id: str, owner: str) -> None:
        """Write that *owner* died with its attempt."""
        row = self.row(id)
        if row is not None and row.owner == owner and row.record.state is State.STARTED and not row.ended:
            row.remember(self._clock.time(), None)
        row = self.stop(id, owner)
        if row is not None:
            row.record = replace(row.record, losses=row.record.losses + 1)

    def end(self, ending: Ending, owner: str, *, keep: float = 0.0) -> None:
        """Write what *owner*'s attempt came to. keep: least seconds the commit record stays."""
        now = self._clock.time()
        message = ending.delivery.message
        row = self.row(message.id) or Row(Record(message.id, message.name, message.queue))
        if ending.state is State.RETRY:
            row.remember(now, ending.error, ending.next_at)
        row.record = replace(
            row.record,
            state=ending.state,
            attempt=message.attempt,
            value=ending.value,
            error=ending.error,
            finished=now if ending.state.final else None,
            due=ending.next_at,
            plan=None if ending.opening is None else ending.opening.workflow,
        )
        row.owner, row.follow, row.moved, row.dead = owner, ending.follow, (), ending.dead
        if not ending.state.final:
            self.write(row, until=max(ending.next_at or now, now) + OPEN_TTL)
            if message.id in self._waiters:
                self.tell(message.id)
            return
        if row.forgotten or ending.ttl <= 0:
            row.forgotten = True
            row.record, row.log = replace(row.record, value=None), None
        row.commit_kept = now + keep
        self.keys.free(row.key, message.id)
        self.write(row, until=now + max(0.0 if row.forgotten else ending.ttl, keep), shown=now + ending.ttl)
        self.tell(message.id)

    def forget(self, id: str) -> None:
        """Hide an ended task's record, or have it hidden when it ends."""
        row = self.row(id)
        if row is not None:
            row.forgotten, row.log = True, None
            if row.record.state.final:
                row.record = replace(row.record, value=None)
                self._keep(row, row.commit_kept)
                self.tell(id)

    def write(self, row: Row, *, until: float, shown: float | None = None) -> None:
        """Keep *row* until a moment; it is shown as long unless *shown* is sooner."""
        row.shown = until if shown is None else shown
        self._rows[row.record.id] = row
        self._keep(row, until)

    def sweep(self, limit: int = 1_000) -> bool:
        """Drop rows whose time is over; look at *limit* of them, and tell whether there may be more."""
        now = self._clock.time()
        for _ in range(limit):
            if not self._times or self._times[0][0] > now:
                self._clear_away()
                return False
            look, id = heapq.heappop(self._times)
            row = self._rows.get(id)
            if row is None or row.look != look:
                continue
            if row.kept <= now:
                self.keys.free(row.key, id)
                del self._rows[id]
            else:
                self._look_at(row)
        return True

    def _keep(self, row: Row, until: float) -> None:
        row.kept = until
        # One whose time was put off is looked at when the first one comes, and then again.
        if row.look is None or until < row.look:
            self._look_at(row)

    def _look_at(self, row: Row) -> None:
        row.look = row.kept
        heapq.heappush(self._times, (row.look, row.record.id))
        self._clear_away()

    def _clear_away(self) -> None:
        if len(self._times) > 2 * len(self._rows) + _SPARE:
            self._times = [(row.look, id) for id, row in self._rows.items() if row.look is not None]
            heapq.heapify(self._times)

    def tell(self, id: str) -> None:
        """Wake who waits for *id*."""
        for event in self._waiters.get(id, ()):
            event.set()

    def tell_barred(self, scope: str) -> None:
        """Wake who waits for what reads CANCELLED now that a scope is closed."""
        for event in self._within.get(scope, ()):
            event.set()

    async def wait(self, id: str, until: float) -> Record | None:
        """Return the record once it is final, or as it stands at *until*."""
        with self._woken(id) as event:
            record = self.shown(id)
            while (
                record is not None and not record.state.final and await self._clock.wait(event, until=until)
            ):
                event.clear()
                record = self.shown(id)
            return self.shown(id)

    async def told(self, id: str, after: int, seen: Standing | None, until: float) -> Log | None:
        """Return what there is behind *after*, once there is anything, or as it stands at *until*."""
        with self._woken(id) as event:
            log = self.log(id, after)
            while log is not None and not log.tells(seen) and await self._clock.wait(event, until=until):
                event.clear()
                log = self.log(id, after)
            return log

    @contextmanager
    def _woken(self, id: str) -> Generator[asyncio.Event]:
        """Give an event that is set when *id* may have ended."""
        event = asyncio.Event()
        places = [(self._waiters, id), *((self._within, scope) for scope in self.scopes_around(id))]
        caller = self.called_by(id)
        places += [] if caller is None else [(self._waiters, caller)]
        for events, name in places:
            events.setdefault(name, set()).add(event)
        try:
            yield event
        finally:
            for events, name in places:
                events[name].discard(event)
                if not events[name]:
                    del events[name]

"""SqliteBackend: records in a file, also for a broker that is another store.

There the commit record stays when its value is gone, so that a late copy of the message runs
nothing and what its commit released can be published again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aioqueue.adapters.sqlite import attempts, flows, joins, keys, moment, scopes
from aioqueue.adapters.sqlite import lease as leases
from aioqueue.adapters.sqlite import log as logs
from aioqueue.adapters.sqlite import records as table
from aioqueue.adapters.sqlite.cancel import cancel
from aioqueue.adapters.sqlite.core import Access, Core
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.lease import SqliteLease
from aioqueue.adapters.sqlite.listeners import LOOK
from aioqueue.adapters.sqlite.move import Move
from aioqueue.adapters.sqlite.plan import plan, retract
from aioqueue.adapters.sqlite.records import Entry
from aioqueue.adapters.sqlite.seen import never_called
from aioqueue.codec import decode_messages, encode_messages
from aioqueue.errors import BackendUnavailableError
from aioqueue.models.state import State
from aioqueue.protocols.capabilities import Capabilities
from aioqueue.protocols.flow import Members, Opened, Opening, Page, Whole
from aioqueue.protocols.lease import Lease
from aioqueue.protocols.log import Log, Note, Standing
from aioqueue.protocols.messages import (
    COMMIT_TTL,
    OPEN_TTL,
    Attempt,
    Cancelled,
    Committed,
    Delivery,
    Ending,
    Message,
    Record,
    Rescheduled,
    Start,
    Verdict,
    When,
)
from aioqueue.protocols.unique import Answer, Held


class SqliteBackend:
    """Records of one file, shared by all processes that name it."""

    capabilities: Capabilities = Capabilities("sqlite")

    def __init__(self, core: Core) -> None:
        self.core = core
        self._access = Access(core, BackendUnavailableError)

    async def open(self) -> None:
        await self.core.open("backend", BackendUnavailableError)

    async def close(self) -> None:
        await self.core.close("backend")

    async def put(self, records: Sequence[Record], *, follow: bool = False) -> Sequence[Answer]:
        return await self._access.write(lambda tx: put(tx, records))

    async def get(self, ids: Sequence[str]) -> list[Record | None]:
        return await self._access.read(lambda tx: get(tx, ids))

    async def history(self, id: str) -> list[Attempt]:
        return await self._access.read(lambda tx: attempts.history(tx, id))

    async def wait(self, id: str, *, timeout: float) -> Record | None:
        clock = self.core.clock
        until = clock.time() + timeout
        with self._access.listeners.waiter(id) as event:
            while True:
                event.clear()
                (record,) = await self.get([id])
                if record is None or record.state.final or clock.time() >= until:
                    return record
                await clock.wait(event, until=until)

    async def claim(self, deliveries: Sequence[Delivery], *, owner: str, worker: str) -> Sequence[Start]:
        return await self._access.write(lambda tx: claim(tx, deliveries, owner, worker))

    async def unclaim(self, deliveries: Sequence[Delivery], *, owner: str) -> None:
        ids = [delivery.message.id for delivery in deliveries if delivery.message.tracked]
        await self._access.write(lambda tx: table.stop(tx, ids, owner=owner))

    async def commit(self, endings: Sequence[Ending], *, owner: str) -> Sequence[Committed | None]:
        return await self._access.write(lambda tx: commit(tx, endings, owner))

    async def cancel(self, ids: Sequence[str], *, ttl: float, waiting: bool = False) -> Sequence[Cancelled]:
        return await self._access.write(lambda tx: cancel(tx, ids, ttl, waiting=waiting))

    async def reschedule(self, id: str, when: When) -> Rescheduled:
        return await self._access.write(lambda tx: moment.reschedule(tx, id, when, here=False))

    async def plan(self, page: Page) -> Sequence[str]:
        return await self._access.write(lambda tx: plan(tx, page))

    async def retract(self, workflow: str, keeper: str) -> None:
        await self._access.write(lambda tx: retract(tx, workflow, keeper))

    async def open_workflow(self, opening: Opening) -> Opened:
        return await self._access.write(lambda tx: open_workflow(tx, opening))

    async def workflow(self, id: str) -> Whole | None:
        return await self._access.read(lambda tx: workflow(tx, id))

    async def fault(self, scope: str) -> bytes | None:
        return await self._access.read(lambda tx: scopes.fault(tx, scope))

    async def members(self, join: str, first: int, count: int) -> Members | None:
        return await self._access.read(lambda tx: joins.members(tx, join, first, count))

    async def release_more(self, message: Message) -> Sequence[Message]:
        return await self._access.write(lambda tx: release_more(tx, message))

    async def note(self, id: str, notes: Sequence[Note], *, first: int, attempt: int, owner: str) -> bool:
        return await self._access.write(
            lambda tx: logs.note(tx, id, notes, first=first, attempt=attempt, owner=owner)
        )

    async def log(self, id: str, *, after: int, seen: Standing | None, timeout: float) -> Log | None:
        clock = self.core.clock
        until = clock.time() + timeout
        with self._access.listeners.waiter(id) as event, self._access.listeners.consumer((), event):
            while True:
                event.clear()
                log = await self._access.read(lambda tx: told(tx, id, after))
                if log is None or log.tells(seen) or clock.time() >= until:
                    return log
                await clock.wait(event, until=min(until, clock.time() + LOOK))

    async def forget(self, ids: Sequence[str]) -> None:
        await self._access.write(lambda tx: forget(tx, ids))

    async def bury(self, owner: str) -> None:
        await self._access.write(lambda tx: leases.drop(tx, owner))

    def lease(self, owner: str, *, seconds: float) -> Lease:
        """Return *owner*'s lease, which has begun; blocks for a transaction."""
        lease = SqliteLease(self._access.pulse, owner, seconds=seconds, unavailable=BackendUnavailableError)
        lease.begin()
        return lease


def put(tx: Transaction, new: Sequence[Record]) -> list[Answer]:
    """Create records; False where one is past PENDING, Held where its key is another's."""
    entries = table.load(tx, (record.id for record in new))
    made: dict[str, Entry] = {}
    held: dict[str, Held] = {}
    for record in new:
        if record.id not in entries:
            if record.unique is not None:
                # what was made before it may have its key
                table.save(tx, made.values())
                holder = keys.holder(tx, record.unique, record.id)
                if holder is not None:
                    held[record.id] = Held(holder)
                    continue
                keys.take(tx, record.unique, record.id, record.due or tx.now)
            until = max(record.due or tx.now, tx.now) + OPEN_TTL
            entries[record.id] = made[record.id] = table.opened(record, until=until)
    table.save(tx, made.values())
    return [
        held[record.id] if record.id in held else entries[record.id].state is State.PENDING for record in new
    ]


def get(tx: Transaction, ids: Sequence[str]) -> list[Record | None]:
    """Return what may be shown."""
    entries = {id: entry for id, entry in table.load(tx, ids).items() if entry.visible(tx.now)}
    found = {id: entry.record() for id, entry in entries.items()}
    open = [id for id, entry in entries.items() if not entry.state.final]
    for id, bar in scopes.barred(tx, open).items():
        if (since := bar.since(running=entries[id].running)) is not None:
            found[id] = replace(found[id], state=State.CANCELLED, finished=since, due=None)
    # what was released is due at some moment
    waiting = flows.candidates(
        id for id in open if found[id].state is State.PENDING and found[id].due is None
    )
    for id, since in never_called(tx, waiting).items():
        found[id] = replace(found[id], state=State.CANCELLED, finished=since)
    return [found.get(id) for id in ids]


def told(tx: Transaction, id: str, after: int) -> Log | None:
    """Return record, attempts and a page of the log."""
    (record,) = get(tx, [id])
    if record is None:
        return None
    entries, more = logs.page(tx, id, after)
    return Log(record, tuple(attempts.history(tx, id)), entries, more)


def claim(tx: Transaction, deliveries: Sequence[Delivery], owner: str, worker: str) -> list[Start]:
    """Write STARTED for *owner* where no attempt has ended and no living owner runs it."""
    tracked = [delivery.message for delivery in deliveries if delivery.message.tracked]
    entries = table.load(tx, (message.id for message in tracked))
    running = {entry.owner for entry in entries.values() if entry.state is State.STARTED}
    alive = leases.left(tx, {name for name in running if name is not None and name != owner})
    barred = scopes.barred(tx, {message.id for message in tracked})
    move = Move(tx, entries)
    started: dict[str, Entry] = {}

    def start(delivery: Delivery) -> Start:
        message = delivery.message
        if not message.tracked:
            return Start(Verdict.RUN, losses=delivery.losses)
        entry = entries.get(message.id)
        refusal = None if entry is None else _refusal(entry, message, owner, alive)
        if refusal is not None:
            told = move.told_again(message.id) if refusal.verdict is Verdict.COMMITTED else ()
            return replace(refusal, follow=(*refusal.follow, *told))
        if entry is None:
            # The record that counted is gone: only the broker knows.
            entry = entries[message.id] = table.pending(message, tx.now)
            entry.losses = delivery.losses
        running = entry.running and entry.attempt == message.attempt
        # what a dead owner had begun has not begun
        mine = running and entry.owner == owner
        if message.id in barred and barred[message.id].since(running=mine) is not None:
            move.bar(entry)
            return Start(Verdict.COMMITTED, follow=move.told_again(message.id))
        if running and not mine:
            attempts.lost(tx, [entry])
            entry.losses += 1
        table.start(entry, message.attempt, owner=owner, worker=worker, now=tx.now)
        started[message.id] = entry
        return Start(Verdict.RUN, losses=entry.losses)

    starts = [start(delivery) for delivery in deliveries]
    flows.renew(tx, started, tx.now + OPEN_TTL)
    move.write()
    table.save(tx, (started | move.changed).values())
    return starts


def _refusal(entry: Entry, message: Message, owner: str, alive: dict[str, float]) -> Start | None:
    """Return why *message* must not run, or None."""
    if entry.attempt > message.attempt:
        return Start(Verdict.COMMITTED)
    same = entry.attempt == message.attempt
    # One that was given back reads RETRY too, but nobody owns it.
    retried = entry.state is State.RETRY and entry.owner is not None
    ended = entry.state.final or (same and (retried or entry.plan is not None))
    if ended and same:
        return Start(
            Verdict.COMMITTED,
            follow=(*_messages(entry.released), *_messages(entry.moved)),
            dead=entry.dead,
        )
    if ended:
        return Start(Verdict.COMMITTED)
    if same and entry.state is State.STARTED and entry.owner != owner and entry.owner in alive:
        return Start(Verdict.BUSY, delay=min(max(alive[entry.owner], 0.1), 5.0))
    return None


def _messages(data: bytes | None) -> tuple[Message, ...]:
    return () if data is None else decode_messages(data)


def commit(tx: Transaction, endings: Sequence[Ending], owner: str) -> list[Committed | None]:
    """End the attempts that *owner* has started, keeping what they and their workflows released."""
    entries = table.load(tx, (e.delivery.message.id for e in endings if e.delivery.message.tracked))
    saved: dict[str, Entry] = {}
    move = Move(tx, entries)
    move.read(entries)

    def end(ending: Ending) -> Committed | None:
        message = ending.delivery.message
        if not message.tracked:
            return Committed()
        entry = entries.get(message.id)
        if entry is None or entry.owner != owner or entry.attempt != message.attempt:
            if entry is not None:
                move.refuse(ending, entry)
            return None
        if entry.running:
            if move.bars(entry):
                move.refuse(ending, entry)
                return None
            table.end(entry, ending, owner=owner, now=tx.now, keep=COMMIT_TTL)
            entry.released, entry.dead = encode_messages(ending.follow), ending.dead
            saved[entry.id] = entry
            attempts.tried(tx, [(entry, ending)])
            before = len(move.messages)
            move.end(ending)
            moved = move.messages[before:]
            entry.moved = encode_messages(moved) if moved else None
        return Committed(_messages(entry.moved))

    answers = [end(ending) for ending in endings]
    move.write()
    table.save(tx, (saved | move.changed).values())
    tx.news.ended.update(id for id, entry in saved.items() if entry.state.final)
    return answers


def open_workflow(tx: Transaction, opening: Opening) -> Opened:
    """Start a workflow; return all of it that was released and has not started."""
    move = Move(tx, {}, again=True)
    first = move.open(opening)
    return Opened(first, _written(tx, move))


def release_more(tx: Transaction, message: Message) -> Sequence[Message]:
    """Release the next page that an OPEN message stands for, with all of it that has not started."""
    move = Move(tx, {}, again=True)
    move.more(message)
    return _written(tx, move)


def _written(tx: Transaction, move: Move) -> tuple[Message, ...]:
    """Write a step of a workflow; return what it releases."""
    move.write()
    table.save(tx, move.changed.values())
    return tuple(move.messages)


def workflow(tx: Transaction, id: str) -> Whole | None:
    """Return a workflow that was opened."""
    opening = flows.whole(tx, id)
    return None if opening is None else Whole(opening.result, opening.outline)


def forget(tx: Transaction, ids: Sequence[str]) -> None:
    """Show records no more; drop those of ended tasks unless they are commit records of two stores."""
    entries = table.load(tx, ids)
    gone = {id for id, entry in entries.items() if entry.state.final and entry.released is None}
    for entry in entries.values():
        if entry.state.final:
            table.hide(entry, tx.now)
        entry.forgotten = 1
    table.save(tx, [entry for id, entry in entries.items() if id not in gone])
    table.remove(tx, gone)
    logs.drop(tx, entries)
    tx.news.ended.update(entries)

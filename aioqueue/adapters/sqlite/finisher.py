"""SqliteFinisher: ends attempts where broker and backend are one file.

Record, dead letter, what follows and the end of the message are one transaction: a crash leaves
all of it or nothing, and then the message is held until the lease has lapsed, and run again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aioqueue.adapters.sqlite import attempts, limits, messages, records
from aioqueue.adapters.sqlite.core import Access
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.limits import Slots
from aioqueue.adapters.sqlite.messages import Receipt
from aioqueue.adapters.sqlite.move import Move
from aioqueue.adapters.sqlite.records import Entry
from aioqueue.adapters.sqlite.submitter import submit
from aioqueue.protocols.broker import Consumer
from aioqueue.protocols.flow import OPEN
from aioqueue.protocols.messages import Delivery, Ending, Message, Start, Verdict


@dataclass(slots=True)
class _Batch:
    """What endings of one transaction are judged by, and what they change."""

    owner: str
    now: float
    held: dict[Receipt, int]
    entries: dict[str, Entry]
    move: Move
    settled: list[int] = field(default_factory=list[int])
    saved: dict[str, Entry] = field(default_factory=dict[str, Entry])
    removed: set[str] = field(default_factory=set[str])
    letters: list[tuple[Message, str]] = field(default_factory=list[tuple[Message, str]])
    again: list[tuple[Message, int]] = field(default_factory=list[tuple[Message, int]])
    follow: list[Message] = field(default_factory=list[Message])
    taken: list[Ending] = field(default_factory=list[Ending])

    def judge(self, ending: Ending) -> bool:
        """Take *ending* in; False if another attempt owns the task."""
        message, receipt = ending.delivery.message, messages.receipt_of(ending.delivery)
        entry = self.entries.get(message.id) if message.tracked else None
        holds = receipt in self.held
        if entry is not None and entry.ended_by(self.owner, message.attempt):
            # Its own repeat; should it hold a copy, that has nothing more to say.
            self._settle(ending.delivery)
            return True
        if not holds or (entry is not None and not self._owns(entry, ending.delivery)):
            if entry is not None:
                self.move.refuse(ending, entry)
            return False
        losses = self._settle(ending.delivery)
        self.taken.append(ending)
        if message.tracked:
            self._record(ending, entry or records.pending(message, self.now))
        if ending.dead is not None:
            self.letters.append((message, ending.dead))
        self.again += [(after, losses) for after in ending.follow if after.id == message.id]
        self.follow += [after for after in ending.follow if after.id != message.id]
        return True

    def _owns(self, entry: Entry, delivery: Delivery) -> bool:
        """Tell whether it is the owner's to end; what was ended meanwhile is held no more."""
        if not entry.ended and self.move.bars(entry):
            self.move.bar(entry)
        if entry.ended:
            self._settle(delivery)
            return False
        return entry.owner == self.owner and entry.attempt == delivery.message.attempt

    def _settle(self, delivery: Delivery) -> int:
        receipt = messages.receipt_of(delivery)
        if receipt is None or receipt not in self.held:
            return 0
        self.settled.append(receipt[0])
        return self.held.pop(receipt)

    def _record(self, ending: Ending, entry: Entry) -> None:
        forgotten = entry.forgotten
        records.end(entry, ending, owner=self.owner, now=self.now)
        if ending.state.final and (forgotten or ending.ttl <= 0):
            self.removed.add(entry.id)
        else:
            self.saved[entry.id] = entry
        self.entries[entry.id] = entry


def finish(tx: Transaction, owner: str, endings: Sequence[Ending]) -> list[bool]:
    """Commit each ending that is *owner*'s to make, publish what follows, settle."""
    deliveries = [ending.delivery for ending in endings]
    tracked = [delivery.message.id for delivery in deliveries if delivery.message.tracked]
    entries = records.load(tx, tracked)
    move = Move(tx, entries)
    move.read(tracked)
    batch = _Batch(owner, tx.now, messages.held(tx, owner, deliveries), entries, move)
    answers = [batch.judge(ending) for ending in endings]
    _move_on(batch)
    records.save(tx, (batch.saved | move.changed).values())
    records.remove(tx, batch.removed)
    attempts.tried(
        tx,
        [
            (batch.saved[e.delivery.message.id], e)
            for e in batch.taken
            if e.delivery.message.id in batch.saved
        ],
    )
    messages.delete(tx, batch.settled)
    messages.bury(tx, batch.letters)
    if batch.again:
        there = messages.copies(tx, [message for message, _ in batch.again])
        messages.add(tx, [(m, losses) for m, losses in batch.again if messages.key_of(m) not in there])
    if batch.follow:
        submit(tx, batch.follow)
    if move.messages:
        messages.publish(tx, move.messages)
    tx.news.ended |= batch.removed | {id for id, entry in batch.saved.items() if entry.state.final}
    return answers


def _move_on(batch: _Batch) -> None:
    """Let workflows move on from the endings that were taken."""
    for ending in batch.taken:
        message = ending.delivery.message
        if message.name == OPEN and ending.state.final:
            batch.move.more(message)
        elif message.tracked or ending.opening is not None:
            batch.move.end(ending)
    batch.move.write()


class SqliteFinisher:
    """The one-step finisher of one consumer: what it was handed has begun already.

    freed: called when the consumer may hold less. slots: those of what it holds.
    """

    def __init__(self, access: Access, consumer: Consumer, freed: Callable[[], None], slots: Slots) -> None:
        self._slots = slots
        self._access = access
        self._consumer = consumer
        self._freed = freed

    async def begin(self, deliveries: Sequence[Delivery]) -> Sequence[Start]:
        return [Start(Verdict.RUN, losses=delivery.losses) for delivery in deliveries]

    async def finish(self, endings: Sequence[Ending]) -> Sequence[bool]:
        owner = self._consumer.id
        scopes = self._slots.of(ending.delivery for ending in endings)

        def work(tx: Transaction) -> list[bool]:
            answers = finish(tx, owner, endings)
            limits.wake(tx, scopes)
            return answers

        answers = await self._access.write(work)
        # what was refused may still be held
        self._slots.left(e.delivery for e, ok in zip(endings, answers, strict=True) if ok)
        self._freed()
        return answers

    async def release(self, deliveries: Sequence[Delivery], *, delay: float = 0.0) -> None:
        await self._consumer.release(deliveries, delay=delay)

"""SqliteConsumer: one process's hold on some queues.

A message is handed out in one transaction with its record's STARTED where broker and backend are
one file. It is held by this consumer's id until its lease has lapsed, and handed out only under a live
one: else upkeep would find it with a dead owner, and count a loss for an attempt nobody made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from aioqueue.adapters.sqlite import flows, limits, messages, records, scopes
from aioqueue.adapters.sqlite import lease as leases
from aioqueue.adapters.sqlite.backend import SqliteBackend
from aioqueue.adapters.sqlite.core import Access
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.finisher import SqliteFinisher
from aioqueue.adapters.sqlite.lease import SqliteLease
from aioqueue.adapters.sqlite.limits import Slots
from aioqueue.adapters.sqlite.move import Move
from aioqueue.adapters.sqlite.records import Entry
from aioqueue.clock import passing
from aioqueue.ids import new_id
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.lease import Lease
from aioqueue.protocols.limits import Limits
from aioqueue.protocols.messages import OPEN_TTL, SUSPECT, Delivery, Message, Settlement
from aioqueue.turns import Group, copied, fill


@dataclass(frozen=True, slots=True)
class Holder:
    """Who takes messages, from where. prefetch: most it may hold. begins: records are of this file.

    limited: names of tasks that begin when they are admitted, and not as they are handed out.
    """

    id: str
    groups: tuple[Group, ...]
    prefetch: int
    worker: str
    begins: bool = False
    limited: Collection[str] = ()

    @property
    def queues(self) -> list[str]:
        """Return the names of all its queues."""
        return [queue for group in self.groups for queue in group.queues]


@dataclass(frozen=True, slots=True)
class Catch:
    """What one look at the queues brought, and when the next message is due, if any.

    full: there may be more that is handed out only when something held has ended. groups: whose turn
    is next.
    """

    deliveries: list[Delivery]
    groups: tuple[Group, ...]
    due: float | None = None
    full: bool = False


def take(tx: Transaction, holder: Holder, limit: int) -> Catch:
    """Hand out ready messages and begin them; look until something is to be run or nothing is there.

    Nothing is handed out to one whose lease is not alive; a beat may show that only the clock was set.
    """
    if not leases.left(tx, {holder.id}):
        return Catch([], holder.groups)
    messages.promote(tx, holder.queues)
    held, suspects = messages.count_held(tx, holder.id)
    full = suspects > 0 or held >= holder.prefetch
    limit = min(limit, holder.prefetch - held)
    # a transaction may run again, and must begin as it did before
    groups = copied(holder.groups)
    while limit > 0 and holder.queues:
        taken = claim(tx, holder.id, groups, limit, suspects=suspects == 0)
        deliveries = begin(tx, holder, taken) if holder.begins else taken
        if deliveries:
            return Catch(deliveries, tuple(groups))
        if not taken:
            break
    return Catch([], tuple(groups), messages.next_due(tx, holder.queues), full)


def claim(
    tx: Transaction, owner: str, groups: Sequence[Group], limit: int, *, suspects: bool
) -> list[Delivery]:
    """Hand *limit* ready messages to *owner*, each group its share. suspects: one of them may be one."""
    paused = messages.paused(tx)
    taken: list[Delivery] = []

    def take(group: Group, count: int) -> int:
        queues = [queue for queue in group.queues if queue not in paused]
        before = len(taken)
        while left := before + count - len(taken):
            free = suspects and not any(delivery.losses >= SUSPECT for delivery in taken)
            waiting = messages.waiting(tx, queues, suspects=free)
            if not waiting:
                break
            lane, most = group.next(waiting)
            got = messages.claim(
                tx, queues, owner, min(left, most or left), lane=lane, suspects=1 if free else 0
            )
            if not got:
                break
            group.gave(waiting, lane, len(got))
            taken.extend(got)
        return len(taken) - before

    fill(groups, limit, take)
    return taken


def begin(tx: Transaction, holder: Holder, taken: Sequence[Delivery]) -> list[Delivery]:
    """Write STARTED, but of what is limited; forget messages whose tasks have ended, or are further on."""
    entries, fit = sift(tx, [delivery for delivery in taken if delivery.message.name not in holder.limited])
    start(tx, holder, entries, fit)
    begun = {messages.receipt_of(delivery) for delivery in fit}
    return [
        replace(delivery, begun=messages.receipt_of(delivery) in begun)
        for delivery in taken
        if messages.receipt_of(delivery) in begun or delivery.message.name in holder.limited
    ]


def sift(tx: Transaction, taken: Sequence[Delivery]) -> tuple[dict[str, Entry], list[Delivery]]:
    """Return the records there are, and which may start; forget the others."""
    tracked = (delivery.message.id for delivery in taken if delivery.message.tracked)
    entries = records.load(tx, tracked)
    open = [id for id, entry in entries.items() if not entry.ended]
    barred = scopes.barred(tx, open)
    move = Move(tx, entries)
    fit: list[Delivery] = []
    stale: list[int] = []
    for delivery in taken:
        message = delivery.message
        entry = entries.get(message.id) if message.tracked else None
        if entry is not None and (entry.ended or entry.attempt > message.attempt or message.id in barred):
            if not entry.ended and entry.attempt <= message.attempt:
                move.bar(entry)
            stale += [receipt[0] for receipt in [messages.receipt_of(delivery)] if receipt is not None]
            continue
        fit.append(delivery)
    if move.changed:
        move.write()
        records.save(tx, move.changed.values())
    messages.delete(tx, stale)
    messages.give_up(tx, stale)
    return entries, fit


def start(tx: Transaction, holder: Holder, entries: dict[str, Entry], fit: Sequence[Delivery]) -> None:
    """Write STARTED of what is tracked; *entries*: the records there are."""
    started: list[Entry] = []
    for delivery in fit:
        message = delivery.message
        if message.tracked:
            entry = entries.get(message.id)
            if entry is None:
                entry = entries[message.id] = records.pending(message, tx.now)
                entry.losses = delivery.losses
            records.start(entry, message.attempt, owner=holder.id, worker=holder.worker, now=tx.now)
            started.append(entry)
    flows.renew(tx, (entry.id for entry in started), tx.now + OPEN_TTL)
    records.save(tx, started)


def admit(tx: Transaction, holder: Holder, asks: Sequence[tuple[Delivery, Limits]]) -> list[bool]:
    """Tell of each delivery whether it may start now, and start it; put off those that may not."""
    held = messages.held(tx, holder.id, (delivery for delivery, _ in asks))
    fit = [delivery for delivery, _ in asks if delivery.receipt in held]
    entries, fit = sift(tx, fit) if holder.begins else ({}, fit)
    receipts = {delivery.receipt for delivery in fit}
    moments = limits.ask(tx, [ask for ask in asks if ask[0].receipt in receipts])
    admitted = [delivery for delivery, until in zip(fit, moments, strict=True) if until is None]
    if holder.begins:
        waits = {d.message.id: until for d, until in zip(fit, moments, strict=True) if until is not None}
        records.put_off(tx, waits, owner=holder.id)
        flows.renew(tx, waits, max(waits.values(), default=tx.now) + OPEN_TTL)
        start(tx, holder, entries, [delivery for delivery in admitted if not delivery.begun])
    allowed = {delivery.receipt for delivery in admitted}
    return [delivery.receipt in allowed for delivery, _ in asks]


def settle(tx: Transaction, owner: str, settlements: Sequence[Settlement]) -> list[bool]:
    """Forget each delivery that *owner* holds and publish what follows."""
    held = messages.held(tx, owner, (settlement.delivery for settlement in settlements))
    answers: list[bool] = []
    settled: list[int] = []
    follow: list[Message] = []
    letters: list[tuple[Message, str]] = []
    for settlement in settlements:
        receipt = messages.receipt_of(settlement.delivery)
        answers.append(receipt in held)
        if receipt is not None and receipt in held:
            del held[receipt]
            settled.append(receipt[0])
            follow += settlement.follow
            if settlement.dead is not None:
                letters.append((settlement.delivery.message, settlement.dead))
    messages.delete(tx, settled)
    messages.bury(tx, letters)
    messages.publish(tx, follow)
    return answers


def release(tx: Transaction, holder: Holder, deliveries: Sequence[Delivery], delay: float) -> None:
    """Give back what *holder* holds of *deliveries*; what had begun had not."""
    held = messages.held(tx, holder.id, deliveries)
    mine = [delivery for delivery in deliveries if delivery.receipt in held]
    messages.give_back(tx, (seq for seq, _ in held), delay=delay)
    if holder.begins:
        records.stop(tx, [d.message.id for d in mine if d.message.tracked], owner=holder.id)


class SqliteConsumer:
    """Takes messages for one owner. event: set by whoever knows that there may be some."""

    def __init__(
        self, access: Access, groups: Sequence[Group], *, prefetch: int, lease: float, worker: str
    ) -> None:
        self.id: str = new_id()
        self.event: asyncio.Event = asyncio.Event()
        self._access = access
        self._holder = Holder(self.id, tuple(groups), prefetch, worker)
        self._lease = SqliteLease(
            access.pulse,
            self.id,
            seconds=lease,
            unavailable=access.unavailable,
            kept_until=passing(access.core.clock)() + lease,
        )
        self._slots = Slots()
        self._woken = self._full = False

    @property
    def queues(self) -> list[str]:
        """Return the names of its queues."""
        return self._holder.queues

    async def receive(self, limit: int, *, timeout: float) -> list[Delivery]:
        clock = self._access.core.clock
        until = clock.time() + timeout
        while True:
            self.event.clear()
            catch = await self._access.write(lambda tx: take(tx, self._holder, limit))
            self._holder = replace(self._holder, groups=catch.groups)
            if catch.deliveries or self._woken or clock.time() >= until:
                self._woken = False
                return catch.deliveries
            self._full = catch.full
            await clock.wait(self.event, until=until if catch.due is None else min(catch.due, until))

    def wake(self) -> None:
        self._woken = True
        self.event.set()

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[bool]:
        deliveries = [settlement.delivery for settlement in settlements]
        scopes = self._slots.of(deliveries)

        def work(tx: Transaction) -> list[bool]:
            answers = settle(tx, self.id, settlements)
            limits.wake(tx, scopes)
            return answers

        answers = await self._access.write(work)
        self._slots.left(deliveries)
        self.freed()
        return answers

    async def release(self, deliveries: Sequence[Delivery], *, delay: float = 0.0) -> None:
        scopes = self._slots.of(deliveries)

        def work(tx: Transaction) -> None:
            release(tx, self._holder, deliveries, delay)
            limits.wake(tx, scopes)

        await self._access.write(work)
        self._slots.left(deliveries)
        self.freed()

    async def admit(self, asks: Sequence[tuple[Delivery, Limits]]) -> Sequence[bool]:
        answers = await self._access.write(lambda tx: admit(tx, self._holder, asks))
        self._slots.took(asks, answers)
        if not all(answers):
            self.freed()
        return answers

    def freed(self) -> None:
        """Let a receive that waits look again: something it held has ended."""
        if self._full:
            self.event.set()

    def lease(self) -> Lease:
        return self._lease

    def finisher(self, backend: Backend, *, limited: Collection[str] = ()) -> SqliteFinisher | None:
        if not isinstance(backend, SqliteBackend) or backend.core is not self._access.core:
            return None
        self._holder = replace(self._holder, begins=True, limited=limited)
        return SqliteFinisher(self._access, self, self.freed, self._slots)

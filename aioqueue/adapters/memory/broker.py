"""MemoryBroker, its consumer and its one-step finisher.

What one call changes, no other call can see half of: there is no await inside a transition.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from aioqueue.adapters.memory import listing, moment, move
from aioqueue.adapters.memory.backend import MemoryBackend, MemoryLease
from aioqueue.adapters.memory.core import Entry, MemoryCore
from aioqueue.adapters.memory.records import Row
from aioqueue.adapters.memory.submitter import MemorySubmitter
from aioqueue.ids import new_id
from aioqueue.models.state import State
from aioqueue.models.stats import (
    DeadLetter,
    LetterPage,
    QueueEntry,
    QueuePage,
    QueueStats,
    ServiceInfo,
    Where,
)
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.broker import FAIR, Order
from aioqueue.protocols.capabilities import Capabilities
from aioqueue.protocols.flow import OPEN
from aioqueue.protocols.lease import Lease
from aioqueue.protocols.limits import Limits
from aioqueue.protocols.messages import Delivery, Ending, Message, Settlement, Start, Verdict, When
from aioqueue.turns import Group, fill, groups_of

_STEPS: Final = 1_000


class MemoryBroker:
    """Queues of one process."""

    capabilities: Capabilities = Capabilities("memory", shared=False, durable=False)

    def __init__(self, core: MemoryCore) -> None:
        self._core = core

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def submitter(self, backend: Backend) -> MemorySubmitter | None:
        return MemorySubmitter(self._core) if _same(backend, self._core) else None

    async def publish(self, messages: Sequence[Message]) -> Sequence[bool]:
        return self._core.add(messages)

    async def reschedule(self, queue: str, id: str, attempt: int, when: When) -> bool:
        return moment.move_message(self._core, queue, id, attempt, when)

    def consume(
        self, queues: Sequence[str], *, prefetch: int, lease: float, worker: str, order: Order = FAIR
    ) -> AbstractAsyncContextManager[MemoryConsumer]:
        return self._consume(groups_of(queues, order), prefetch, lease, worker)

    @asynccontextmanager
    async def _consume(
        self, groups: list[Group], prefetch: int, lease: float, worker: str
    ) -> AsyncGenerator[MemoryConsumer]:
        consumer = MemoryConsumer(self._core, groups, prefetch, worker)
        self._core.beat(consumer.id, seconds=lease)
        self._core.listeners.add(consumer.event)
        try:
            yield consumer
        finally:
            self._core.listeners.discard(consumer.event)
            for entry in list(self._core.held.get(consumer.id, {}).values()):
                consumer.give_back(entry)
            consumer.lease().drop()

    async def maintain(self) -> int:
        for _ in range(_STEPS):
            if not self._core.records.sweep():
                break
            # Others get their turn between two steps.
            await asyncio.sleep(0)
        self._core.flows.sweep()
        self._core.sweep_dead()
        self._core.sweep_values()
        moved = self._core.take_over()
        self._core.limiters.sweep()
        return moved

    async def bury(self, consumer: str) -> int:
        return self._core.lose(consumer)

    async def pause(self, queue: str) -> bool:
        return self._core.pause(queue, on=True)

    async def resume(self, queue: str) -> bool:
        return self._core.pause(queue, on=False)

    async def health(self) -> Sequence[str]:
        return ()

    async def about(self) -> ServiceInfo:
        return ServiceInfo()

    async def stats(self, queues: Sequence[str] = ()) -> list[QueueStats]:
        now = self._core.clock.time()
        counts: list[QueueStats] = []
        for queue in queues or sorted(self._core.lines):
            line = self._core.line(queue)
            line.promote(now)
            counts.append(
                QueueStats(
                    queue=queue,
                    ready=line.waiting,
                    delayed=len(line.delayed),
                    held=line.held,
                    dead=line.dead,
                    paused=queue in self._core.paused,
                )
            )
        return counts

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        return list(self._core.dead)[: -limit - 1 : -1]

    async def inspect(
        self, queue: str, where: Where, *, after: str | None = None, limit: int = 100, bodies: bool = False
    ) -> QueuePage:
        return listing.inspect(self._core, queue, where, after=after, limit=limit, bodies=bodies)

    async def remove(self, entries: Sequence[QueueEntry]) -> int:
        return listing.remove(self._core, entries)

    async def letters(
        self, *, queue: str | None = None, after: str | None = None, limit: int = 100
    ) -> LetterPage:
        return listing.letters(self._core, queue=queue, after=after, limit=limit)

    async def discard(self, keys: Sequence[str]) -> int:
        return listing.discard(self._core, keys)


class MemoryConsumer:
    """One holder of messages."""

    def __init__(self, core: MemoryCore, groups: list[Group], prefetch: int, worker: str) -> None:
        self.id: str = new_id()
        self.event: asyncio.Event = asyncio.Event()
        self._core = core
        self._groups = groups
        self._queues = [queue for group in groups for queue in group.queues]
        self._prefetch = prefetch
        self._worker = worker
        self._one_step = False
        self._limited: Collection[str] = ()
        self._woken = False

    async def receive(self, limit: int, *, timeout: float) -> list[Delivery]:
        clock = self._core.clock
        until = clock.time() + timeout
        while True:
            self.event.clear()
            deliveries = self._take(limit)
            if deliveries or self._woken or clock.time() >= until:
                self._woken = False
                return deliveries
            # With a lapsed lease nothing is handed out, however much is due.
            due = self._core.next_due(self._queues) if self._core.alive(self.id) > 0 else None
            await clock.wait(self.event, until=until if due is None else min(due, until))

    def wake(self) -> None:
        self._woken = True
        self.event.set()

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[bool]:
        return [self._settle(settlement) for settlement in settlements]

    async def release(self, deliveries: Sequence[Delivery], *, delay: float = 0.0) -> None:
        for delivery in deliveries:
            entry = self._core.holds(self.id, delivery.receipt)
            if entry is not None:
                self.give_back(entry, delay=delay)

    async def admit(self, asks: Sequence[tuple[Delivery, Limits]]) -> Sequence[bool]:
        return [self._admit(delivery, limits) for delivery, limits in asks]

    def lease(self) -> Lease:
        return MemoryLease(self._core, self.id)

    def finisher(self, backend: Backend, *, limited: Collection[str] = ()) -> MemoryFinisher | None:
        if not _same(backend, self._core):
            return None
        self._one_step, self._limited = True, limited
        return MemoryFinisher(self._core, self)

    def give_back(self, entry: Entry, *, delay: float = 0.0) -> None:
        """Put back, nothing counted."""
        if self._one_step and entry.message.tracked:
            self._core.records.stop(entry.message.id, self.id)
        self._core.give_back(entry, delay=delay)

    def _admit(self, delivery: Delivery, limits: Limits) -> bool:
        entry = self._core.holds(self.id, delivery.receipt)
        if entry is None or (self._one_step and not self._fit(entry)):
            return False
        until = self._core.limiters.ask(entry.key, entry.receipt, limits)
        if until is None:
            entry.scope = None if limits.running is None else limits.scope
            if self._one_step and not delivery.begun:
                self._start(entry)
            return True
        if self._one_step and entry.message.tracked:
            self._core.records.stop(entry.message.id, self.id)
            moment.move_record(self._core, entry.message.id, When(until))
        self._core.put_off(entry, until)
        return False

    def _take(self, limit: int) -> list[Delivery]:
        deliveries: list[Delivery] = []

        def take(group: Group, count: int) -> int:
            before = len(deliveries)
            while len(deliveries) < before + count:
                entry = self._core.take(group, self.id)
                if entry is None:
                    break
                if not self._begins(entry):
                    deliveries.append(self._delivery(entry))
                elif self._fit(entry):
                    self._start(entry)
                    deliveries.append(self._delivery(entry))
            return len(deliveries) - before

        fill(self._groups, min(limit, self._prefetch - len(self._core.held.get(self.id, ()))), take)
        return deliveries

    def _delivery(self, entry: Entry) -> Delivery:
        return Delivery(
            message=entry.message,
            receipt=entry.receipt,
            at=self._core.clock.time(),
            first_seen=entry.first_seen,
            losses=entry.losses,
            begun=self._begins(entry),
        )

    def _begins(self, entry: Entry) -> bool:
        return self._one_step and entry.message.name not in self._limited

    def _fit(self, entry: Entry) -> bool:
        """Tell whether a message may start; else it is forgotten."""
        message = entry.message
        row = self._core.records.row(message.id) if message.tracked else None
        if row is not None and (row.ended or row.record.attempt > message.attempt):
            self._core.drop(entry)
            return False
        if message.tracked and self._core.flows.bars(message, row):
            move.bar(self._core.flows, message.id)
            self._core.drop(entry)
            return False
        return True

    def _start(self, entry: Entry) -> None:
        message = entry.message
        if message.tracked:
            losses = entry.losses if self._core.records.row(message.id) is None else None
            self._core.records.start(message, owner=self.id, worker=self._worker, losses=losses)
            self._core.flows.renew(message.id)

    def _settle(self, settlement: Settlement) -> bool:
        entry = self._core.holds(self.id, settlement.delivery.receipt)
        if entry is None:
            return False
        self._core.drop(entry)
        if settlement.dead is not None:
            self._core.bury(entry.message, settlement.dead)
        self._core.add(settlement.follow)
        return True


class MemoryFinisher:
    """Starts and ends attempts where broker and backend are one memory store."""

    def __init__(self, core: MemoryCore, consumer: MemoryConsumer) -> None:
        self._core = core
        self._consumer = consumer

    async def begin(self, deliveries: Sequence[Delivery]) -> Sequence[Start]:
        return [Start(Verdict.RUN, losses=delivery.losses) for delivery in deliveries]

    async def finish(self, endings: Sequence[Ending]) -> Sequence[bool]:
        return [self._finish(ending) for ending in endings]

    async def release(self, deliveries: Sequence[Delivery], *, delay: float = 0.0) -> None:
        await self._consumer.release(deliveries, delay=delay)

    def _finish(self, ending: Ending) -> bool:
        owner, records = self._consumer.id, self._core.records
        message = ending.delivery.message
        entry = self._core.holds(owner, ending.delivery.receipt)
        row = records.row(message.id) if message.tracked else None
        if entry is None:
            return row is not None and _ended_by(row, owner, message.attempt)
        if row is not None and not self._owns(row, message):
            self._let_go(entry, row, ending)
            return False
        losses = entry.losses
        self._core.drop(entry)
        if message.tracked:
            records.end(ending, owner)
        if ending.dead is not None:
            self._core.bury(message, ending.dead)
        self._core.submit(ending.follow, losses=losses)
        if message.name == OPEN and ending.state.final:
            self._core.add(move.more(self._core.flows, message))
        elif message.tracked:
            self._core.add(move.moved(self._core.flows, ending))
        return True

    def _let_go(self, entry: Entry, row: Row, ending: Ending) -> None:
        """Forget the message of a task that was ended or cancelled meanwhile."""
        move.refuse(self._core.flows, ending, row.record)
        if row.ended:
            self._core.drop(entry)
        elif self._core.flows.bars(entry.message, row):
            move.bar(self._core.flows, entry.message.id)
            self._core.drop(entry)

    def _owns(self, row: Row, message: Message) -> bool:
        mine = row.owner == self._consumer.id and row.record.attempt == message.attempt
        return mine and not row.ended and not self._core.flows.bars(message, row)


def _ended_by(row: Row, owner: str, attempt: int) -> bool:
    open = row.record.state is State.STARTED and not row.ended
    return row.owner == owner and row.record.attempt == attempt and not open


def _same(backend: Backend, core: MemoryCore) -> bool:
    return isinstance(backend, MemoryBackend) and backend.core is core

"""MemoryBackend and MemoryLease: records of one process, also for a broker that is another store.

The commit record stays when its value is gone, so that a late copy of the message runs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from aioqueue.adapters.memory import moment, move
from aioqueue.adapters.memory.cancel import Cancel
from aioqueue.adapters.memory.core import MemoryCore
from aioqueue.adapters.memory.records import Row
from aioqueue.models.state import RescheduleOutcome, State
from aioqueue.protocols.capabilities import Capabilities
from aioqueue.protocols.flow import Members, Opened, Opening, Page, Whole
from aioqueue.protocols.lease import Lease
from aioqueue.protocols.log import Log, Note, Standing
from aioqueue.protocols.messages import (
    COMMIT_TTL,
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


class MemoryLease:
    """A lease in memory."""

    def __init__(self, core: MemoryCore, owner: str) -> None:
        self._core = core
        self._owner = owner

    def beat(self) -> bool:
        return self._core.beat(self._owner)

    def drop(self) -> None:
        self._core.end(self._owner)


class MemoryBackend:
    """Records in memory."""

    capabilities: Capabilities = Capabilities("memory", shared=False, durable=False)

    def __init__(self, core: MemoryCore) -> None:
        self.core = core

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def put(self, records: Sequence[Record], *, follow: bool = False) -> Sequence[Answer]:
        return [self._put(record) for record in records]

    async def get(self, ids: Sequence[str]) -> list[Record | None]:
        return [self.core.records.shown(id) for id in ids]

    async def history(self, id: str) -> list[Attempt]:
        return self.core.records.history(id)

    async def wait(self, id: str, *, timeout: float) -> Record | None:
        return await self.core.records.wait(id, self.core.clock.time() + timeout)

    async def claim(self, deliveries: Sequence[Delivery], *, owner: str, worker: str) -> Sequence[Start]:
        return [self._claim(delivery, owner, worker) for delivery in deliveries]

    async def unclaim(self, deliveries: Sequence[Delivery], *, owner: str) -> None:
        for delivery in deliveries:
            self.core.records.stop(delivery.message.id, owner)

    async def commit(self, endings: Sequence[Ending], *, owner: str) -> Sequence[Committed | None]:
        return [self._commit(ending, owner) for ending in endings]

    async def cancel(self, ids: Sequence[str], *, ttl: float, waiting: bool = False) -> Sequence[Cancelled]:
        step = Cancel(self.core.flows, ttl=ttl, spared=self.core.runs if waiting else None)
        return [step.cancel(id) for id in ids]

    async def reschedule(self, id: str, when: When) -> Rescheduled:
        answer = moment.waiting(self.core, id)
        if answer.outcome is RescheduleOutcome.RESCHEDULED:
            moment.move_record(self.core, id, when)
        return answer

    async def plan(self, page: Page) -> Sequence[str]:
        return self.core.flows.plan(page)

    async def retract(self, workflow: str, keeper: str) -> None:
        self.core.flows.retract(workflow, keeper)

    async def open_workflow(self, opening: Opening) -> Opened:
        first, messages = move.started(self.core.flows, opening, again=True)
        return Opened(first, tuple(messages))

    async def workflow(self, id: str) -> Whole | None:
        return self.core.flows.opened(id)

    async def fault(self, scope: str) -> bytes | None:
        return self.core.flows.fault(scope)

    async def members(self, join: str, first: int, count: int) -> Members | None:
        return self.core.flows.members(join, first, count)

    async def release_more(self, message: Message) -> Sequence[Message]:
        return move.more(self.core.flows, message, again=True)

    async def note(self, id: str, notes: Sequence[Note], *, first: int, attempt: int, owner: str) -> bool:
        return self.core.records.note(id, notes, first=first, attempt=attempt, owner=owner)

    async def log(self, id: str, *, after: int, seen: Standing | None, timeout: float) -> Log | None:
        return await self.core.records.told(id, after, seen, self.core.clock.time() + timeout)

    async def forget(self, ids: Sequence[str]) -> None:
        for id in ids:
            self.core.records.forget(id)

    async def bury(self, owner: str) -> None:
        self.core.end(owner)

    def lease(self, owner: str, *, seconds: float) -> Lease:
        self.core.beat(owner, seconds=seconds)
        return MemoryLease(self.core, owner)

    def _put(self, record: Record) -> Answer:
        holder = self.core.records.holder(record)
        return self.core.records.put(record) if holder is None else Held(holder)

    def _claim(self, delivery: Delivery, owner: str, worker: str) -> Start:
        message = delivery.message
        if not message.tracked:
            return Start(Verdict.RUN, losses=delivery.losses)
        row = self.core.records.row(message.id)
        if row is None:
            # The record that counted is gone: only the broker knows.
            return self._start(message, owner, worker, losses=delivery.losses)
        return self._refusal(row, message, owner) or self._start(message, owner, worker, row=row)

    def _refusal(self, row: Row, message: Message, owner: str) -> Start | None:
        """Return why *message* must not run, or None."""
        record = row.record
        if record.attempt > message.attempt:
            return Start(Verdict.COMMITTED)
        same = record.attempt == message.attempt
        # one that was given back reads RETRY too, but nobody owns it
        retried = record.state is State.RETRY and row.owner is not None
        if record.state.final or (same and (retried or row.ended)):
            told = move.told_again(self.core.flows, record.id) if record.state.final else ()
            return Start(
                Verdict.COMMITTED,
                follow=(*row.follow, *row.moved, *told) if same else told,
                dead=row.dead if same else None,
            )
        if record.state is State.STARTED and same and row.owner != owner:
            left = self.core.alive(row.owner)
            if left > 0:
                return Start(Verdict.BUSY, delay=min(max(left, 0.1), 5.0))
        return None

    def _start(
        self, message: Message, owner: str, worker: str, *, row: Row | None = None, losses: int = 0
    ) -> Start:
        """Let *owner* start; one that died holding the task is a loss."""
        running = (
            row is not None and row.record.state is State.STARTED and row.record.attempt == message.attempt
        )
        mine = running and row is not None and row.owner == owner
        # what a dead owner had begun has not begun
        if self.core.flows.bars(message, row if mine else None):
            move.bar(self.core.flows, message.id)
            return Start(Verdict.COMMITTED, follow=move.told_again(self.core.flows, message.id))
        if row is not None:
            if mine:
                return Start(Verdict.RUN, losses=row.record.losses)
            if running:
                row.remember(self.core.clock.time(), None)
            losses = row.record.losses + running
        self.core.records.start(message, owner=owner, worker=worker, losses=losses)
        self.core.flows.renew(message.id)
        return Start(Verdict.RUN, losses=losses)

    def _commit(self, ending: Ending, owner: str) -> Committed | None:
        message = ending.delivery.message
        if not message.tracked:
            return Committed()
        row = self.core.records.row(message.id)
        if row is None or row.owner != owner or row.record.attempt != message.attempt:
            if row is not None:
                move.refuse(self.core.flows, ending, row.record)
            return None
        if row.record.state is State.STARTED and not row.ended:
            if self.core.flows.bars(message, row):
                move.refuse(self.core.flows, ending, row.record)
                return None
            self.core.records.end(ending, owner, keep=COMMIT_TTL)
            row.moved = tuple(move.moved(self.core.flows, ending))
        return Committed(row.moved)

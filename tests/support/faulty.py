"""FaultyBroker, FaultyBackend, FaultyStore: real stores whose calls can fail, lose their answer, or crash.

They wrap whatever they hand out, so that no store call goes by unseen; give both the same Faults to count
them together. A context that a crash has left is closed by ``clear_up``, when the test is over.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager

from aioqueue.errors import BackendUnavailableError, BrokerUnavailableError, UnavailableError
from aioqueue.models.state import CancelOutcome, RescheduleOutcome
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
from aioqueue.protocols.broker import FAIR, Broker, Consumer, Order
from aioqueue.protocols.capabilities import Capabilities
from aioqueue.protocols.finisher import Finisher, Submitter
from aioqueue.protocols.flow import Members, Opened, Opening, Page, Whole
from aioqueue.protocols.lease import Lease
from aioqueue.protocols.limits import Limits
from aioqueue.protocols.log import Log, Note, Standing
from aioqueue.protocols.messages import (
    Attempt,
    Cancelled,
    Committed,
    Delivery,
    Ending,
    Message,
    Record,
    Rescheduled,
    Settlement,
    Start,
    When,
)
from aioqueue.protocols.store import ANYTHING, Anything, Store
from aioqueue.protocols.unique import Answer
from tests.support.faults import Call, Crash, Faults, Moment, Point

__all__ = ["Call", "Crash", "Faults", "FaultyBackend", "FaultyBroker", "FaultyStore", "Moment", "Point"]


class FaultyLease:
    """A lease whose beats can fail."""

    def __init__(self, real: Lease, faults: Faults, error: type[UnavailableError]) -> None:
        self.real, self.faults, self._error = real, faults, error

    def beat(self) -> bool:
        try:
            return self.faults.around_now("beat", self._error, self.real.beat)
        except Crash:
            if threading.current_thread() is threading.main_thread():
                raise
            # in a thread of a dead process nobody hears it
            return False

    def drop(self) -> None:
        return self.faults.around_now("drop", self._error, self.real.drop)


class FaultySubmitter:
    """A one-step submitter that can fail."""

    def __init__(self, real: Submitter, faults: Faults) -> None:
        self.real, self.faults = real, faults

    async def submit(self, messages: Sequence[Message], *, limit: int | None = None) -> Sequence[Answer]:
        return await self.faults.around(
            "submit", BrokerUnavailableError, lambda: self.real.submit(messages, limit=limit)
        )

    async def open_workflow(self, opening: Opening) -> bool:
        return await self.faults.around(
            "open_workflow", BrokerUnavailableError, lambda: self.real.open_workflow(opening)
        )

    async def cancel(
        self, ids: Sequence[str], *, ttl: float, waiting: bool = False
    ) -> Sequence[CancelOutcome]:
        return await self.faults.around(
            "cancel", BrokerUnavailableError, lambda: self.real.cancel(ids, ttl=ttl, waiting=waiting)
        )

    async def reschedule(self, id: str, when: When) -> RescheduleOutcome:
        return await self.faults.around(
            "reschedule", BrokerUnavailableError, lambda: self.real.reschedule(id, when)
        )


class FaultyFinisher:
    """A one-step finisher that can fail."""

    def __init__(self, real: Finisher, faults: Faults) -> None:
        self.real, self.faults = real, faults

    async def begin(self, deliveries: Sequence[Delivery]) -> Sequence[Start]:
        return await self.faults.around("begin", BackendUnavailableError, lambda: self.real.begin(deliveries))

    async def finish(self, endings: Sequence[Ending]) -> Sequence[bool]:
        return await self.faults.around("finish", BackendUnavailableError, lambda: self._finish(endings))

    async def release(self, deliveries: Sequence[Delivery], *, delay: float = 0.0) -> None:
        await self.faults.around(
            "release", BrokerUnavailableError, lambda: self.real.release(deliveries, delay=delay)
        )

    async def _finish(self, endings: Sequence[Ending]) -> Sequence[bool]:
        answers = await self.real.finish(endings)
        _count(self.faults, endings, answers)
        return answers


class FaultyConsumer:
    """A consumer that can fail."""

    def __init__(self, real: Consumer, faults: Faults) -> None:
        self.real, self.faults = real, faults

    @property
    def id(self) -> str:
        return self.real.id

    async def receive(self, limit: int, *, timeout: float) -> list[Delivery]:
        return await self.faults.around(
            "receive", BrokerUnavailableError, lambda: self.real.receive(limit, timeout=timeout)
        )

    def wake(self) -> None:
        self.real.wake()

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[bool]:
        return await self.faults.around(
            "settle", BrokerUnavailableError, lambda: self.real.settle(settlements)
        )

    async def release(self, deliveries: Sequence[Delivery], *, delay: float = 0.0) -> None:
        await self.faults.around(
            "release", BrokerUnavailableError, lambda: self.real.release(deliveries, delay=delay)
        )

    async def admit(self, asks: Sequence[tuple[Delivery, Limits]]) -> Sequence[bool]:
        return await self.faults.around("admit", BrokerUnavailableError, lambda: self.real.admit(asks))

    def lease(self) -> FaultyLease:
        return FaultyLease(self.real.lease(), self.faults, BrokerUnavailableError)

    def finisher(self, backend: Backend, *, limited: Collection[str] = ()) -> FaultyFinisher | None:
        finisher = self.real.finisher(_real(backend), limited=limited)
        return None if finisher is None else FaultyFinisher(finisher, self.faults)


class FaultyBroker:
    """A broker that can fail; entering ``consume`` is the call "consume", leaving it is "leave"."""

    def __init__(self, real: Broker, faults: Faults | None = None) -> None:
        self.real, self.faults = real, faults or Faults()
        self._open: list[AbstractAsyncContextManager[Consumer]] = []

    @property
    def capabilities(self) -> Capabilities:
        return self.real.capabilities

    async def open(self) -> None:
        await self.faults.around("open", BrokerUnavailableError, self.real.open)

    async def close(self) -> None:
        await self.faults.around("close", BrokerUnavailableError, self.real.close)

    def submitter(self, backend: Backend) -> FaultySubmitter | None:
        submitter = self.real.submitter(_real(backend))
        return None if submitter is None else FaultySubmitter(submitter, self.faults)

    async def publish(self, messages: Sequence[Message]) -> Sequence[bool]:
        return await self.faults.around(
            "publish", BrokerUnavailableError, lambda: self.real.publish(messages)
        )

    async def reschedule(self, queue: str, id: str, attempt: int, when: When) -> bool:
        return await self.faults.around(
            "move", BrokerUnavailableError, lambda: self.real.reschedule(queue, id, attempt, when)
        )

    @asynccontextmanager
    async def consume(
        self, queues: Sequence[str], *, prefetch: int, lease: float, worker: str, order: Order = FAIR
    ) -> AsyncIterator[FaultyConsumer]:
        context = self.real.consume(queues, prefetch=prefetch, lease=lease, worker=worker, order=order)
        consumer = await self.faults.around("consume", BrokerUnavailableError, lambda: self._enter(context))
        try:
            yield FaultyConsumer(consumer, self.faults)
        finally:
            await self.faults.around("leave", BrokerUnavailableError, lambda: self._leave(context))

    async def maintain(self) -> int:
        return await self.faults.around("maintain", BrokerUnavailableError, self.real.maintain)

    async def bury(self, consumer: str) -> int:
        return await self.faults.around("bury", BrokerUnavailableError, lambda: self.real.bury(consumer))

    async def pause(self, queue: str) -> bool:
        return await self.faults.around("pause", BrokerUnavailableError, lambda: self.real.pause(queue))

    async def resume(self, queue: str) -> bool:
        return await self.faults.around("resume", BrokerUnavailableError, lambda: self.real.resume(queue))

    async def health(self) -> Sequence[str]:
        return await self.faults.around("health", BrokerUnavailableError, self.real.health)

    async def about(self) -> ServiceInfo:
        return await self.faults.around("about", BrokerUnavailableError, self.real.about)

    async def stats(self, queues: Sequence[str] = ()) -> list[QueueStats]:
        return await self.faults.around("stats", BrokerUnavailableError, lambda: self.real.stats(queues))

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        return await self.faults.around(
            "dead_letters", BrokerUnavailableError, lambda: self.real.dead_letters(limit=limit)
        )

    async def inspect(
        self, queue: str, where: Where, *, after: str | None = None, limit: int = 100, bodies: bool = False
    ) -> QueuePage:
        return await self.faults.around(
            "inspect",
            BrokerUnavailableError,
            lambda: self.real.inspect(queue, where, after=after, limit=limit, bodies=bodies),
        )

    async def remove(self, entries: Sequence[QueueEntry]) -> int:
        return await self.faults.around("remove", BrokerUnavailableError, lambda: self.real.remove(entries))

    async def letters(
        self, *, queue: str | None = None, after: str | None = None, limit: int = 100
    ) -> LetterPage:
        return await self.faults.around(
            "letters",
            BrokerUnavailableError,
            lambda: self.real.letters(queue=queue, after=after, limit=limit),
        )

    async def discard(self, keys: Sequence[str]) -> int:
        return await self.faults.around("discard", BrokerUnavailableError, lambda: self.real.discard(keys))

    async def clear_up(self) -> None:
        """Close what a crash left open."""
        while self._open:
            await self._leave(self._open[-1])

    async def _enter(self, context: AbstractAsyncContextManager[Consumer]) -> Consumer:
        consumer = await context.__aenter__()
        self._open.append(context)
        return consumer

    async def _leave(self, context: AbstractAsyncContextManager[Consumer]) -> None:
        self._open.remove(context)
        await context.__aexit__(None, None, None)


class FaultyBackend:
    """A backend that can fail."""

    def __init__(self, real: Backend, faults: Faults | None = None) -> None:
        self.real, self.faults = real, faults or Faults()

    @property
    def capabilities(self) -> Capabilities:
        return self.real.capabilities

    async def open(self) -> None:
        await self.faults.around("open", BackendUnavailableError, self.real.open)

    async def close(self) -> None:
        await self.faults.around("close", BackendUnavailableError, self.real.close)

    async def put(self, records: Sequence[Record], *, follow: bool = False) -> Sequence[Answer]:
        return await self.faults.around(
            "put", BackendUnavailableError, lambda: self.real.put(records, follow=follow)
        )

    async def get(self, ids: Sequence[str]) -> list[Record | None]:
        return await self.faults.around("get", BackendUnavailableError, lambda: self.real.get(ids))

    async def wait(self, id: str, *, timeout: float) -> Record | None:
        return await self.faults.around(
            "wait", BackendUnavailableError, lambda: self.real.wait(id, timeout=timeout)
        )

    async def history(self, id: str) -> list[Attempt]:
        return await self.faults.around("history", BackendUnavailableError, lambda: self.real.history(id))

    async def claim(self, deliveries: Sequence[Delivery], *, owner: str, worker: str) -> Sequence[Start]:
        return await self.faults.around(
            "claim", BackendUnavailableError, lambda: self.real.claim(deliveries, owner=owner, worker=worker)
        )

    async def unclaim(self, deliveries: Sequence[Delivery], *, owner: str) -> None:
        await self.faults.around(
            "unclaim", BackendUnavailableError, lambda: self.real.unclaim(deliveries, owner=owner)
        )

    async def commit(self, endings: Sequence[Ending], *, owner: str) -> Sequence[Committed | None]:
        return await self.faults.around(
            "commit", BackendUnavailableError, lambda: self._commit(endings, owner)
        )

    async def cancel(self, ids: Sequence[str], *, ttl: float, waiting: bool = False) -> Sequence[Cancelled]:
        return await self.faults.around(
            "cancel", BackendUnavailableError, lambda: self.real.cancel(ids, ttl=ttl, waiting=waiting)
        )

    async def reschedule(self, id: str, when: When) -> Rescheduled:
        return await self.faults.around(
            "reschedule", BackendUnavailableError, lambda: self.real.reschedule(id, when)
        )

    async def plan(self, page: Page) -> Sequence[str]:
        return await self.faults.around("plan", BackendUnavailableError, lambda: self.real.plan(page))

    async def retract(self, workflow: str, keeper: str) -> None:
        await self.faults.around(
            "retract", BackendUnavailableError, lambda: self.real.retract(workflow, keeper)
        )

    async def workflow(self, id: str) -> Whole | None:
        return await self.faults.around("workflow", BackendUnavailableError, lambda: self.real.workflow(id))

    async def fault(self, scope: str) -> bytes | None:
        return await self.faults.around("fault", BackendUnavailableError, lambda: self.real.fault(scope))

    async def open_workflow(self, opening: Opening) -> Opened:
        return await self.faults.around(
            "open_workflow", BackendUnavailableError, lambda: self.real.open_workflow(opening)
        )

    async def members(self, join: str, first: int, count: int) -> Members | None:
        return await self.faults.around(
            "members", BackendUnavailableError, lambda: self.real.members(join, first, count)
        )

    async def release_more(self, message: Message) -> Sequence[Message]:
        return await self.faults.around(
            "release_more", BackendUnavailableError, lambda: self.real.release_more(message)
        )

    async def note(self, id: str, notes: Sequence[Note], *, first: int, attempt: int, owner: str) -> bool:
        return await self.faults.around(
            "note",
            BackendUnavailableError,
            lambda: self.real.note(id, notes, first=first, attempt=attempt, owner=owner),
        )

    async def log(self, id: str, *, after: int, seen: Standing | None, timeout: float) -> Log | None:
        return await self.faults.around(
            "log", BackendUnavailableError, lambda: self.real.log(id, after=after, seen=seen, timeout=timeout)
        )

    async def forget(self, ids: Sequence[str]) -> None:
        await self.faults.around("forget", BackendUnavailableError, lambda: self.real.forget(ids))

    async def bury(self, owner: str) -> None:
        await self.faults.around("bury", BackendUnavailableError, lambda: self.real.bury(owner))

    def lease(self, owner: str, *, seconds: float) -> FaultyLease:
        lease = self.faults.around_now(
            "lease", BackendUnavailableError, lambda: self.real.lease(owner, seconds=seconds)
        )
        return FaultyLease(lease, self.faults, BackendUnavailableError)

    async def _commit(self, endings: Sequence[Ending], owner: str) -> Sequence[Committed | None]:
        answers = await self.real.commit(endings, owner=owner)
        _count(self.faults, endings, [answer is not None for answer in answers])
        return answers


def _count(faults: Faults, endings: Sequence[Ending], answers: Sequence[bool]) -> None:
    for ending, committed in zip(endings, answers, strict=True):
        if committed and (ending.state.final or ending.opening is not None):
            faults.commits[ending.delivery.message.id] += 1


def _real(backend: Backend) -> Backend:
    return backend.real if isinstance(backend, FaultyBackend) else backend


class FaultyStore:
    """A shared map that can fail; its calls are named "store get" and so on."""

    def __init__(self, real: Store, faults: Faults) -> None:
        self.real, self.faults = real, faults

    async def get(self, key: str) -> bytes | None:
        return await self.faults.around("store get", BrokerUnavailableError, lambda: self.real.get(key))

    async def put(
        self,
        key: str,
        value: bytes,
        *,
        expected: bytes | Anything | None = ANYTHING,
        ttl: float | None = None,
    ) -> bool:
        return await self.faults.around(
            "store put",
            BrokerUnavailableError,
            lambda: self.real.put(key, value, expected=expected, ttl=ttl),
        )

    async def delete(self, key: str) -> bool:
        return await self.faults.around("store delete", BrokerUnavailableError, lambda: self.real.delete(key))

    async def list(self, prefix: str) -> dict[str, bytes]:
        return await self.faults.around("store list", BrokerUnavailableError, lambda: self.real.list(prefix))

    def watch(self, key: str, event: asyncio.Event) -> AbstractContextManager[None]:
        return self.real.watch(key, event)

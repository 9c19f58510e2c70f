"""A store used from two processes at once: clients in another process, workers in this one.

What a sender or a waiter asks goes to a process that serves all tests, over a unix socket, one
connection a call; what a consumer does is done here. So every conformance test crosses processes.
Run as a program, this is that other process.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from aioqueue.ids import new_id
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
from aioqueue.protocols.adapter import Adapter
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
from aioqueue.testing import VirtualClock
from aioqueue.urls import connect
from tests.support.processes import environment

Which = tuple[str, str, float]
"""An adapter of the other process: its id, its URL, and where its clock starts."""


class TwinClock(VirtualClock):
    """A virtual clock that moves its twins in the other process too."""

    def __init__(self) -> None:
        super().__init__()
        self.twins: set[Elsewhere] = set()

    async def advance(self, seconds: float) -> None:
        await super().advance(seconds)
        for twin in self.twins:
            await twin.call("clock", "advance", seconds)


class Elsewhere:
    """One adapter in the other process. now: where its clock starts, Unix seconds."""

    def __init__(self, url: str, now: float) -> None:
        self._which = (new_id(), url, now)

    async def call(self, part: str, method: str, *args: Any, **options: Any) -> Any:
        """Return what *method* of *part* returns there, or raise what it raises."""
        reader, writer = await asyncio.open_unix_connection(_socket(), limit=2**26)
        try:
            request = pickle.dumps((self._which, part, method, args, options))
            writer.write(len(request).to_bytes(8, "big") + request)
            answer, error = pickle.loads(await reader.read(-1))
        finally:
            writer.close()
        if error is not None:
            raise error
        return answer


class FarSubmitter:
    """Sends from the other process."""

    def __init__(self, far: Elsewhere) -> None:
        self._far = far

    async def submit(self, messages: Sequence[Message], *, limit: int | None = None) -> Sequence[bool]:
        answers: Sequence[bool] = await self._far.call("submitter", "submit", messages, limit=limit)
        return answers

    async def open_workflow(self, opening: Opening) -> bool:
        first: bool = await self._far.call("submitter", "open_workflow", opening)
        return first

    async def cancel(
        self, ids: Sequence[str], *, ttl: float, waiting: bool = False
    ) -> Sequence[CancelOutcome]:
        outcomes: Sequence[CancelOutcome] = await self._far.call(
            "submitter", "cancel", ids, ttl=ttl, waiting=waiting
        )
        return outcomes

    async def reschedule(self, id: str, when: When) -> RescheduleOutcome:
        outcome: RescheduleOutcome = await self._far.call("submitter", "reschedule", id, when)
        return outcome


class NearConsumer:
    """Consumes here; knows that a far backend may be this very store."""

    def __init__(self, real: Consumer) -> None:
        self._real = real
        self.id = real.id

    async def receive(self, limit: int, *, timeout: float) -> list[Delivery]:
        return await self._real.receive(limit, timeout=timeout)

    def wake(self) -> None:
        self._real.wake()

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[bool]:
        return await self._real.settle(settlements)

    async def release(self, deliveries: Sequence[Delivery], *, delay: float = 0.0) -> None:
        await self._real.release(deliveries, delay=delay)

    async def admit(self, asks: Sequence[tuple[Delivery, Limits]]) -> Sequence[bool]:
        return await self._real.admit(asks)

    def lease(self) -> Lease:
        return self._real.lease()

    def finisher(self, backend: Backend, *, limited: Collection[str] = ()) -> Finisher | None:
        return self._real.finisher(_near(backend), limited=limited)


class SplitBroker:
    """Publishes, counts and maintains there; consumes here."""

    def __init__(self, near: Broker, far: Elsewhere, clock: object) -> None:
        self._near, self._far, self._clock = near, far, clock

    @property
    def capabilities(self) -> Capabilities:
        return self._near.capabilities

    async def open(self) -> None:
        await self._near.open()
        await self._far.call("broker", "open")
        if isinstance(self._clock, TwinClock):
            self._clock.twins.add(self._far)

    async def close(self) -> None:
        await self._far.call("broker", "close")
        await self._near.close()

    def submitter(self, backend: Backend) -> Submitter | None:
        return None if self._near.submitter(_near(backend)) is None else FarSubmitter(self._far)

    async def publish(self, messages: Sequence[Message]) -> Sequence[bool]:
        answers: Sequence[bool] = await self._far.call("broker", "publish", messages)
        return answers

    async def reschedule(self, queue: str, id: str, attempt: int, when: When) -> bool:
        moved: bool = await self._far.call("broker", "reschedule", queue, id, attempt, when)
        return moved

    def consume(
        self, queues: Sequence[str], *, prefetch: int, lease: float, worker: str, order: Order = FAIR
    ) -> AbstractAsyncContextManager[Consumer]:
        return self._consume(
            self._near.consume(queues, prefetch=prefetch, lease=lease, worker=worker, order=order)
        )

    async def pause(self, queue: str) -> bool:
        done: bool = await self._far.call("broker", "pause", queue)
        return done

    async def resume(self, queue: str) -> bool:
        done: bool = await self._far.call("broker", "resume", queue)
        return done

    async def maintain(self) -> int:
        moved: int = await self._far.call("broker", "maintain")
        return moved

    async def bury(self, consumer: str) -> int:
        moved: int = await self._far.call("broker", "bury", consumer)
        return moved

    async def health(self) -> Sequence[str]:
        said: Sequence[str] = await self._far.call("broker", "health")
        return said

    async def about(self) -> ServiceInfo:
        said: ServiceInfo = await self._far.call("broker", "about")
        return said

    async def stats(self, queues: Sequence[str] = ()) -> list[QueueStats]:
        found: list[QueueStats] = await self._far.call("broker", "stats", queues)
        return found

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        found: list[DeadLetter] = await self._far.call("broker", "dead_letters", limit=limit)
        return found

    async def inspect(
        self, queue: str, where: Where, *, after: str | None = None, limit: int = 100, bodies: bool = False
    ) -> QueuePage:
        page: QueuePage = await self._far.call(
            "broker", "inspect", queue, where, after=after, limit=limit, bodies=bodies
        )
        return page

    async def remove(self, entries: Sequence[QueueEntry]) -> int:
        gone: int = await self._far.call("broker", "remove", entries)
        return gone

    async def letters(
        self, *, queue: str | None = None, after: str | None = None, limit: int = 100
    ) -> LetterPage:
        page: LetterPage = await self._far.call("broker", "letters", queue=queue, after=after, limit=limit)
        return page

    async def discard(self, keys: Sequence[str]) -> int:
        gone: int = await self._far.call("broker", "discard", keys)
        return gone

    @asynccontextmanager
    async def _consume(self, context: AbstractAsyncContextManager[Consumer]) -> AsyncGenerator[Consumer]:
        async with context as consumer:
            yield NearConsumer(consumer)


class SplitBackend:
    """Is asked there; claims and commits here."""

    def __init__(self, near: Backend, far: Elsewhere) -> None:
        self.near, self._far = near, far

    @property
    def capabilities(self) -> Capabilities:
        return self.near.capabilities

    async def open(self) -> None:
        await self.near.open()
        await self._far.call("backend", "open")

    async def close(self) -> None:
        await self._far.call("backend", "close")
        await self.near.close()

    async def put(self, records: Sequence[Record], *, follow: bool = False) -> Sequence[bool]:
        answers: Sequence[bool] = await self._far.call("backend", "put", records, follow=follow)
        return answers

    async def get(self, ids: Sequence[str]) -> list[Record | None]:
        found: list[Record | None] = await self._far.call("backend", "get", ids)
        return found

    async def history(self, id: str) -> list[Attempt]:
        found: list[Attempt] = await self._far.call("backend", "history", id)
        return found

    async def wait(self, id: str, *, timeout: float) -> Record | None:
        found: Record | None = await self._far.call("backend", "wait", id, timeout=timeout)
        return found

    async def claim(self, deliveries: Sequence[Delivery], *, owner: str, worker: str) -> Sequence[Start]:
        return await self.near.claim(deliveries, owner=owner, worker=worker)

    async def unclaim(self, deliveries: Sequence[Delivery], *, owner: str) -> None:
        await self.near.unclaim(deliveries, owner=owner)

    async def commit(self, endings: Sequence[Ending], *, owner: str) -> Sequence[Committed | None]:
        return await self.near.commit(endings, owner=owner)

    async def cancel(self, ids: Sequence[str], *, ttl: float, waiting: bool = False) -> Sequence[Cancelled]:
        answers: Sequence[Cancelled] = await self._far.call(
            "backend", "cancel", ids, ttl=ttl, waiting=waiting
        )
        return answers

    async def reschedule(self, id: str, when: When) -> Rescheduled:
        answer: Rescheduled = await self._far.call("backend", "reschedule", id, when)
        return answer

    async def plan(self, page: Page) -> Sequence[str]:
        foreign: Sequence[str] = await self._far.call("backend", "plan", page)
        return foreign

    async def retract(self, workflow: str, keeper: str) -> None:
        await self._far.call("backend", "retract", workflow, keeper)

    async def open_workflow(self, opening: Opening) -> Opened:
        opened: Opened = await self._far.call("backend", "open_workflow", opening)
        return opened

    async def workflow(self, id: str) -> Whole | None:
        found: Whole | None = await self._far.call("backend", "workflow", id)
        return found

    async def fault(self, scope: str) -> bytes | None:
        error: bytes | None = await self._far.call("backend", "fault", scope)
        return error

    async def members(self, join: str, first: int, count: int) -> Members | None:
        found: Members | None = await self._far.call("backend", "members", join, first, count)
        return found

    async def release_more(self, message: Message) -> Sequence[Message]:
        return await self.near.release_more(message)

    async def note(self, id: str, notes: Sequence[Note], *, first: int, attempt: int, owner: str) -> bool:
        return await self.near.note(id, notes, first=first, attempt=attempt, owner=owner)

    async def log(self, id: str, *, after: int, seen: Standing | None, timeout: float) -> Log | None:
        found: Log | None = await self._far.call(
            "backend", "log", id, after=after, seen=seen, timeout=timeout
        )
        return found

    async def forget(self, ids: Sequence[str]) -> None:
        await self._far.call("backend", "forget", ids)

    async def bury(self, owner: str) -> None:
        await self._far.call("backend", "bury", owner)

    def lease(self, owner: str, *, seconds: float) -> Lease:
        return self.near.lease(owner, seconds=seconds)


class SplitStore:
    """Is written there and read here."""

    def __init__(self, near: Store, far: Elsewhere) -> None:
        self._near, self._far = near, far

    async def get(self, key: str) -> bytes | None:
        return await self._near.get(key)

    async def put(
        self,
        key: str,
        value: bytes,
        *,
        expected: bytes | Anything | None = ANYTHING,
        ttl: float | None = None,
    ) -> bool:
        done: bool = await self._far.call("store", "put", key, value, expected=expected, ttl=ttl)
        return done

    async def delete(self, key: str) -> bool:
        there: bool = await self._far.call("store", "delete", key)
        return there

    async def list(self, prefix: str) -> dict[str, bytes]:
        return await self._near.list(prefix)

    def watch(self, key: str, event: asyncio.Event) -> AbstractContextManager[None]:
        return self._near.watch(key, event)


def split(near: Adapter, url: str, clock: VirtualClock) -> Adapter:
    """Return *near* with its clients' half in the other process."""
    far = Elsewhere(url, clock.time())
    assert near.broker is not None
    assert near.backend is not None
    assert near.store is not None
    return Adapter(
        near.url,
        broker=SplitBroker(near.broker, far, clock),
        backend=SplitBackend(near.backend, far),
        store=SplitStore(near.store, far),
    )


def _near(backend: Backend) -> Backend:
    return backend.near if isinstance(backend, SplitBackend) else backend


@cache
def _socket() -> str:
    """Start the other process once, and return the path of its socket."""
    folder = tempfile.TemporaryDirectory(prefix="aq-")
    path = str(Path(folder.name, "s"))
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, path],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        env=environment(),
    )

    def end() -> None:
        process.kill()
        process.communicate()
        folder.cleanup()

    atexit.register(end)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return path


class Host:
    """The other process's side: its adapters."""

    def __init__(self) -> None:
        self._adapters: dict[str, tuple[Adapter, VirtualClock]] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one call; a caller that goes away ends it."""
        size = int.from_bytes(await reader.readexactly(8), "big")
        work = asyncio.create_task(self._answer(*pickle.loads(await reader.readexactly(size))))
        gone = asyncio.create_task(reader.read(1))
        await asyncio.wait([work, gone], return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            work.cancel()
        else:
            gone.cancel()
            writer.write(work.result())
        writer.close()

    async def _answer(
        self, which: Which, part: str, method: str, args: tuple[Any, ...], options: dict[str, Any]
    ) -> bytes:
        try:
            return pickle.dumps((await getattr(self._part(which, part), method)(*args, **options), None))
        except Exception as exc:  # noqa: BLE001 - it is the caller's
            return pickle.dumps((None, exc))

    def _part(self, which: Which, part: str) -> Any:
        id, url, now = which
        if id not in self._adapters:
            clock = VirtualClock(now)
            self._adapters[id] = connect(url, clock=clock), clock
        adapter, clock = self._adapters[id]
        if part == "clock":
            return clock
        if part == "submitter":
            assert adapter.broker is not None
            assert adapter.backend is not None
            return adapter.broker.submitter(adapter.backend)
        return getattr(adapter, part)


async def main(path: str) -> None:
    server = await asyncio.start_unix_server(Host().serve, path, limit=2**26, backlog=4096)
    print("ready", flush=True)
    # its standard input ends with the process that started it
    await asyncio.to_thread(os.read, 0, 1)
    server.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

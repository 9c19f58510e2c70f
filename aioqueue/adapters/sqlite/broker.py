"""SqliteBroker: queues in a file. What a call acknowledges is committed, and outlives the process."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from aioqueue.adapters.sqlite import lease as leases
from aioqueue.adapters.sqlite import listing, records
from aioqueue.adapters.sqlite import messages as table
from aioqueue.adapters.sqlite.backend import SqliteBackend
from aioqueue.adapters.sqlite.connection import JOURNAL
from aioqueue.adapters.sqlite.consumer import SqliteConsumer
from aioqueue.adapters.sqlite.core import Access, Core
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.submitter import SqliteSubmitter
from aioqueue.adapters.sqlite.upkeep import Upkeep
from aioqueue.errors import BrokerUnavailableError
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
from aioqueue.protocols.messages import Message, When
from aioqueue.turns import Group, groups_of


class SqliteBroker:
    """Messages of one file, shared by all processes that name it."""

    capabilities: Capabilities = Capabilities("sqlite", note=JOURNAL)

    def __init__(self, core: Core) -> None:
        self._core = core
        self._access = Access(core, BrokerUnavailableError)
        self._upkeep = Upkeep(self._access)

    async def open(self) -> None:
        await self._core.open("broker", BrokerUnavailableError)

    async def close(self) -> None:
        await self._core.close("broker")

    def submitter(self, backend: Backend) -> SqliteSubmitter | None:
        same = isinstance(backend, SqliteBackend) and backend.core is self._core
        return SqliteSubmitter(self._access) if same else None

    async def publish(self, messages: Sequence[Message]) -> Sequence[bool]:
        return await self._access.write(lambda tx: table.publish(tx, messages))

    async def reschedule(self, queue: str, id: str, attempt: int, when: When) -> bool:
        return await self._access.write(lambda tx: table.reschedule(tx, queue, id, attempt, when))

    def consume(
        self, queues: Sequence[str], *, prefetch: int, lease: float, worker: str, order: Order = FAIR
    ) -> AbstractAsyncContextManager[SqliteConsumer]:
        return self._consume(groups_of(queues, order), prefetch, lease, worker)

    @asynccontextmanager
    async def _consume(
        self, groups: list[Group], prefetch: int, lease: float, worker: str
    ) -> AsyncGenerator[SqliteConsumer]:
        consumer = SqliteConsumer(self._access, groups, prefetch=prefetch, lease=lease, worker=worker)
        await self._access.write(lambda tx: leases.begin(tx, consumer.id, lease))
        with self._access.listeners.consumer(consumer.queues, consumer.event):
            try:
                yield consumer
            finally:
                await self._access.write(lambda tx: _leave(tx, consumer.id))

    async def maintain(self) -> int:
        return await self._upkeep.maintain()

    async def bury(self, consumer: str) -> int:
        return await self._upkeep.bury(consumer)

    async def pause(self, queue: str) -> bool:
        return await self._access.write(lambda tx: table.pause(tx, queue, on=True))

    async def resume(self, queue: str) -> bool:
        return await self._access.write(lambda tx: table.pause(tx, queue, on=False))

    async def health(self) -> Sequence[str]:
        return ()

    async def about(self) -> ServiceInfo:
        journal = await self._access.read(lambda tx: str(tx.db.execute("PRAGMA journal_mode").fetchone()[0]))
        details = {"file": str(self._core.options.path), "journal": journal}
        return ServiceInfo(version=f"SQLite {sqlite3.sqlite_version}", details=details)

    async def stats(self, queues: Sequence[str] = ()) -> list[QueueStats]:
        counts, paused = await self._access.read(lambda tx: (table.counts(tx), table.paused(tx)))
        return [
            QueueStats(
                queue=queue, ready=ready, delayed=delayed, held=held, dead=dead, paused=queue in paused
            )
            for queue in queues or sorted({*counts, *paused})
            for ready, delayed, held, dead in [counts.get(queue, (0, 0, 0, 0))]
        ]

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        return list((await self.letters(limit=limit)).letters)

    async def inspect(
        self, queue: str, where: Where, *, after: str | None = None, limit: int = 100, bodies: bool = False
    ) -> QueuePage:
        return await self._access.write(
            lambda tx: listing.inspect(tx, queue, where, after=after, limit=limit, bodies=bodies)
        )

    async def remove(self, entries: Sequence[QueueEntry]) -> int:
        return await self._access.write(lambda tx: listing.remove(tx, entries))

    async def letters(
        self, *, queue: str | None = None, after: str | None = None, limit: int = 100
    ) -> LetterPage:
        return await self._access.read(lambda tx: listing.letters(tx, queue=queue, after=after, limit=limit))

    async def discard(self, keys: Sequence[str]) -> int:
        return await self._access.write(lambda tx: listing.discard(tx, keys))


def _leave(tx: Transaction, owner: str) -> None:
    """Give back what *owner* holds, nothing counted, and end its lease."""
    held = table.all_held(tx, owner)
    table.give_back(tx, held)
    records.stop(tx, held.values(), owner=owner)
    leases.drop(tx, owner)

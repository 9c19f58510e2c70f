"""SqliteBroker: queues in a file. What a call acknowledges is committed, and outlives the process."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from aioqueue.adapters.sqlite import lease as leases
from aioqueue.adapters.sqlite import messages as table
from aioqueue.adapters.sqlite import records
from aioqueue.adapters.sqlite.backend import SqliteBackend
from aioqueue.adapters.sqlite.connection import JOURNAL
from aioqueue.adapters.sqlite.consumer import SqliteConsumer
from aioqueue.adapters.sqlite.core import Access, Core
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.submitter import SqliteSubmitter
from aioqueue.adapters.sqlite.upkeep import Upkeep
from aioqueue.errors import BrokerUnavailableError
from aioqueue.models.stats import DeadLetter, QueueStats, ServiceInfo
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.capabilities import Capabilities
from aioqueue.protocols.messages import Message


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

    def consume(
        self, queues: Sequence[str], *, prefetch: int, lease: float, worker: str
    ) -> AbstractAsyncContextManager[SqliteConsumer]:
        return self._consume(tuple(queues), prefetch, lease, worker)

    @asynccontextmanager
    async def _consume(
        self, queues: tuple[str, ...], prefetch: int, lease: float, worker: str
    ) -> AsyncGenerator[SqliteConsumer]:
        consumer = SqliteConsumer(self._access, queues, prefetch=prefetch, lease=lease, worker=worker)
        await self._access.write(lambda tx: leases.begin(tx, consumer.id, lease))
        with self._access.listeners.consumer(queues, consumer.event):
            try:
                yield consumer
            finally:
                await self._access.write(lambda tx: _leave(tx, consumer.id))

    async def maintain(self) -> int:
        return await self._upkeep.maintain()

    async def bury(self, consumer: str) -> int:
        return await self._upkeep.bury(consumer)

    async def health(self) -> Sequence[str]:
        return ()

    async def about(self) -> ServiceInfo:
        journal = await self._access.read(lambda tx: str(tx.db.execute("PRAGMA journal_mode").fetchone()[0]))
        details = {"file": str(self._core.options.path), "journal": journal}
        return ServiceInfo(version=f"SQLite {sqlite3.sqlite_version}", details=details)

    async def stats(self, queues: Sequence[str] = ()) -> list[QueueStats]:
        counts = await self._access.read(table.counts)
        return [
            QueueStats(queue=queue, ready=ready, delayed=delayed, held=held, dead=dead)
            for queue in queues or sorted(counts)
            for ready, delayed, held, dead in [counts.get(queue, (0, 0, 0, 0))]
        ]

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        return await self._access.read(lambda tx: table.dead_letters(tx, limit))


def _leave(tx: Transaction, owner: str) -> None:
    """Give back what *owner* holds, nothing counted, and end its lease."""
    held = table.all_held(tx, owner)
    table.give_back(tx, held)
    records.stop(tx, held.values(), owner=owner)
    leases.drop(tx, owner)

"""RedisBroker: queues in streams, shared by all processes that name the namespace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from aioqueue.adapters.redis import listing
from aioqueue.adapters.redis.about import about
from aioqueue.adapters.redis.backend import RedisBackend
from aioqueue.adapters.redis.consumer import RedisConsumer
from aioqueue.adapters.redis.core import Access, Core
from aioqueue.adapters.redis.health import health
from aioqueue.adapters.redis.promoter import Promoter
from aioqueue.adapters.redis.rows import milliseconds, moment_args
from aioqueue.adapters.redis.submitter import RedisSubmitter, send
from aioqueue.adapters.redis.upkeep import Upkeep
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


class RedisBroker:
    """Messages of one namespace. Durable as far as the server's append-only file is."""

    capabilities: Capabilities = Capabilities("redis")

    def __init__(self, core: Core) -> None:
        self._core = core
        self._access = Access(core, BrokerUnavailableError)
        self._upkeep = Upkeep(self._access)

    async def open(self) -> None:
        await self._core.open("broker", BrokerUnavailableError)

    async def close(self) -> None:
        await self._core.close("broker")

    async def health(self) -> Sequence[str]:
        return await health(self._access)

    async def about(self) -> ServiceInfo:
        return await about(self._access)

    def submitter(self, backend: Backend) -> RedisSubmitter | None:
        same = isinstance(backend, RedisBackend) and backend.core is self._core
        return RedisSubmitter(self._access) if same else None

    async def publish(self, messages: Sequence[Message]) -> Sequence[bool]:
        return await send(self._access, messages, recorded=False)

    async def reschedule(self, queue: str, id: str, attempt: int, when: When) -> bool:
        moved: int = await self._access.script("move", queue, id, attempt, *moment_args(when))
        return moved == 1

    def consume(
        self, queues: Sequence[str], *, prefetch: int, lease: float, worker: str, order: Order = FAIR
    ) -> AbstractAsyncContextManager[RedisConsumer]:
        return self._consume(groups_of(queues, order), prefetch, lease, worker)

    @asynccontextmanager
    async def _consume(
        self, groups: list[Group], prefetch: int, lease: float, worker: str
    ) -> AsyncGenerator[RedisConsumer]:
        consumer = RedisConsumer(self._access, groups, prefetch=prefetch, lease=lease, worker=worker)
        promoting: asyncio.Task[None] | None = None
        # whoever consumes makes rounds too, and can judge by what it has seen from here on
        await self._upkeep.look()
        try:
            await self._access.script("enter", consumer.id, milliseconds(lease), *consumer.queues)
            promoting = asyncio.create_task(
                Promoter(self._access, consumer.queues, consumer.look).run(), name="aioqueue-redis-promote"
            )
            yield consumer
        finally:
            if promoting is not None:
                promoting.cancel()
                await asyncio.gather(promoting, return_exceptions=True)
            await consumer.close()
            await self._upkeep.hand_on(consumer.id, "left")

    async def maintain(self) -> int:
        return await self._upkeep.maintain()

    async def bury(self, consumer: str) -> int:
        moved = await self._upkeep.hand_on(consumer, "dead")
        await self._upkeep.tend()
        return moved

    async def pause(self, queue: str) -> bool:
        paused: int = await self._access.script("pause", queue, 1, 0, again=2)
        return paused == 1

    async def resume(self, queue: str) -> bool:
        resumed: int = await self._access.script("pause", queue, 0, 0, again=2)
        return resumed == 1

    async def stats(self, queues: Sequence[str] = ()) -> list[QueueStats]:
        found = await self._access.script("stats", *queues)
        return [
            QueueStats(
                queue=queue.decode(), ready=ready, delayed=delayed, held=held, dead=dead, paused=paused == 1
            )
            for queue, ready, delayed, held, dead, paused in found
        ]

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        found: list[DeadLetter] = []
        after: str | None = None
        while len(found) < limit:
            page = await self.letters(after=after, limit=limit - len(found))
            found += page.letters
            after = page.next
            if after is None:
                break
        return found

    async def inspect(
        self, queue: str, where: Where, *, after: str | None = None, limit: int = 100, bodies: bool = False
    ) -> QueuePage:
        return await listing.inspect(self._access, queue, where, after=after, limit=limit, bodies=bodies)

    async def remove(self, entries: Sequence[QueueEntry]) -> int:
        return await listing.remove(self._access, entries)

    async def letters(
        self, *, queue: str | None = None, after: str | None = None, limit: int = 100
    ) -> LetterPage:
        return await listing.letters(self._access, queue=queue, after=after, limit=limit)

    async def discard(self, keys: Sequence[str]) -> int:
        return await listing.discard(self._access, keys)

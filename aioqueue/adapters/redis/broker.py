"""RedisBroker: queues in streams, shared by all processes that name the namespace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from aioqueue.adapters.redis.about import about
from aioqueue.adapters.redis.backend import RedisBackend
from aioqueue.adapters.redis.consumer import RedisConsumer
from aioqueue.adapters.redis.core import Access, Core
from aioqueue.adapters.redis.health import health
from aioqueue.adapters.redis.promoter import Promoter
from aioqueue.adapters.redis.rows import milliseconds, moment
from aioqueue.adapters.redis.submitter import RedisSubmitter, send
from aioqueue.adapters.redis.upkeep import Upkeep
from aioqueue.errors import BrokerUnavailableError
from aioqueue.models.stats import DeadLetter, QueueStats, ServiceInfo
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.capabilities import Capabilities
from aioqueue.protocols.messages import Message


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

    def consume(
        self, queues: Sequence[str], *, prefetch: int, lease: float, worker: str
    ) -> AbstractAsyncContextManager[RedisConsumer]:
        return self._consume(tuple(queues), prefetch, lease, worker)

    @asynccontextmanager
    async def _consume(
        self, queues: tuple[str, ...], prefetch: int, lease: float, worker: str
    ) -> AsyncGenerator[RedisConsumer]:
        consumer = RedisConsumer(self._access, queues, prefetch=prefetch, lease=lease, worker=worker)
        promoting: asyncio.Task[None] | None = None
        # whoever consumes makes rounds too, and can judge by what it has seen from here on
        await self._upkeep.look()
        try:
            await self._access.script("enter", consumer.id, milliseconds(lease), *consumer.queues)
            promoting = asyncio.create_task(
                Promoter(self._access, consumer.queues).run(), name="aioqueue-redis-promote"
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
        return await self._upkeep.hand_on(consumer, "dead")

    async def stats(self, queues: Sequence[str] = ()) -> list[QueueStats]:
        found = await self._access.script("stats", *queues)
        return [
            QueueStats(queue=queue.decode(), ready=ready, delayed=delayed, held=held, dead=dead)
            for queue, ready, delayed, held, dead in found
        ]

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        found: list[Any] = await self._access.script("dead_letters", limit) if limit > 0 else []
        return [_letter(entry, values) for entry, values in found]


def _letter(entry: bytes, values: Sequence[bytes]) -> DeadLetter:
    fields = dict(zip(values[::2], values[1::2], strict=True))
    return DeadLetter(
        id=fields[b"i"].decode(),
        name=fields[b"n"].decode(),
        queue=fields[b"q"].decode(),
        reason=fields[b"r"].decode(),
        body=fields[b"b"],
        attempt=int(fields[b"a"]),
        at=moment(entry.partition(b"-")[0]),
    )

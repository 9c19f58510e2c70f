"""RedisStore: the small shared map. Each value is a key of its own; a sorted set lists their names."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

from aioqueue.adapters.redis.core import Access, Core
from aioqueue.adapters.redis.rows import milliseconds
from aioqueue.errors import BrokerUnavailableError
from aioqueue.protocols.store import Anything


class RedisStore:
    """Key to bytes, some for a time."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._access = Access(core, BrokerUnavailableError)

    async def get(self, key: str) -> bytes | None:
        found: bytes | None = await self._access.command("GET", f"{self._core.options.prefix}s:{key}")
        return found

    async def put(
        self,
        key: str,
        value: bytes,
        *,
        expected: bytes | Anything | None = Anything.ANYTHING,
        ttl: float | None = None,
    ) -> bool:
        match expected:
            case Anything.ANYTHING:
                want, replaced = "any", b""
            case None:
                want, replaced = "none", b""
            case bytes():
                want, replaced = "same", expected
        milli = 0 if ttl is None else max(1, milliseconds(ttl))
        # asked once: a repeat after a lost reply would meet its own value
        return bool(await self._access.once("store_put", key, value, milli, want, replaced))

    async def delete(self, key: str) -> bool:
        return bool(await self._access.once("store_delete", key))

    async def list(self, prefix: str) -> dict[str, bytes]:
        found = await self._access.script("store_list", prefix)
        return {key.decode(): value for key, value in zip(found[::2], found[1::2], strict=True)}

    @contextmanager
    def watch(self, key: str, event: asyncio.Event) -> Generator[None]:
        listener, channel = self._access.session.listener, f"{self._core.options.prefix}store:{key}"

        def told(said: bytes | None) -> None:
            event.set()

        listener.subscribe(channel, told)
        try:
            yield
        finally:
            listener.unsubscribe(channel, told)

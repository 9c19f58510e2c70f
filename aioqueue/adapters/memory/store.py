"""MemoryStore: the small shared map, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

from aioqueue.adapters.memory.core import MemoryCore
from aioqueue.protocols.store import ANYTHING, Anything


class MemoryStore:
    """Key to bytes, some for a time."""

    def __init__(self, core: MemoryCore) -> None:
        self._core = core

    async def get(self, key: str) -> bytes | None:
        value, until = self._core.values.get(key, (None, None))
        return value if until is None or until > self._core.clock.time() else None

    async def put(
        self,
        key: str,
        value: bytes,
        *,
        expected: bytes | Anything | None = ANYTHING,
        ttl: float | None = None,
    ) -> bool:
        if expected is not ANYTHING and await self.get(key) != expected:
            return False
        self._core.values[key] = (value, None if ttl is None else self._core.clock.time() + ttl)
        self._tell(key)
        return True

    async def delete(self, key: str) -> bool:
        there = await self.get(key) is not None
        self._core.values.pop(key, None)
        self._tell(key)
        return there

    async def list(self, prefix: str) -> dict[str, bytes]:
        now = self._core.clock.time()
        return {
            key: value
            for key, (value, until) in sorted(self._core.values.items())
            if key.startswith(prefix) and (until is None or until > now)
        }

    @contextmanager
    def watch(self, key: str, event: asyncio.Event) -> Generator[None]:
        watched = (key, event)
        self._core.watched.append(watched)
        try:
            yield
        finally:
            self._core.watched.remove(watched)

    def _tell(self, key: str) -> None:
        for watched, event in self._core.watched:
            if watched == key:
                event.set()

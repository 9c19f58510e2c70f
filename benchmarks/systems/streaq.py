"""streaq: Redis streams by coredis, and tasks that wait for others.

Its callback is given no results, so it is told the sum.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any, Final

from benchmarks import marks
from benchmarks.systems import CONCURRENCY, RESULT_TTL, STORE, TIMEOUT

POLL: Final = 0.0005
"""Seconds between two looks for a result."""

import_module("coredis").Config.optimized = True
worker: Any = import_module("streaq").Worker(
    redis_url=STORE, concurrency=CONCURRENCY, anyio_kwargs={"use_uvloop": True}
)


async def noop(number: int) -> int:
    marks.ran(number)
    return number


async def total(number: int, known: int) -> int:
    marks.ran(number)
    return known


_noop: Any = worker.task(ttl=RESULT_TTL, silent=True)(noop)
_total: Any = worker.task(ttl=RESULT_TTL, silent=True)(total)


class Client:
    """Looks for the callback's result, as the library's own wait takes 100 ms to leave its channel."""

    def __init__(self) -> None:
        self._open = AsyncExitStack()

    async def open(self) -> None:
        await self._open.enter_async_context(worker)

    async def close(self) -> None:
        await self._open.aclose()

    async def chord(self, numbers: range) -> int:
        members = [_noop.enqueue(number) for number in numbers]
        await worker.enqueue_many(members)
        callback = _total.enqueue(numbers.stop, sum(numbers)).start(after=[task.id for task in members])
        await callback
        async with asyncio.timeout(TIMEOUT):
            stored = await _stored(worker.results_key + callback.id)
        value: int = (await worker.deserialize(stored))["r"]
        return value


async def _stored(key: str) -> str:
    while True:
        found: str | None = await worker.redis.get(key)
        if found is not None:
            return found
        await asyncio.sleep(POLL)

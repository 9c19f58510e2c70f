"""streaq: Redis streams by coredis, and tasks that wait for others.

Its callback is given no results, so it is told the sum.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from typing import Any, Final

from benchmarks import marks
from benchmarks.systems import CONCURRENCY, NAP, RESULT_TTL, STORE, TIMEOUT, Sent

POLL: Final = 0.0005
"""Seconds between two looks for a result."""

import_module("coredis").Config.optimized = True
worker: Any = import_module("streaq").Worker(
    redis_url=STORE, concurrency=CONCURRENCY, anyio_kwargs={"use_uvloop": True}
)


async def noop(number: int) -> int:
    marks.ran(number)
    return number


async def nap(number: int) -> int:
    marks.ran(number)
    await asyncio.sleep(NAP)
    return number


async def total(number: int, known: int) -> int:
    marks.ran(number)
    return known


_noop: Any = worker.task(ttl=RESULT_TTL, silent=True)(noop)
_nap: Any = worker.task(ttl=RESULT_TTL, silent=True)(nap)
_total: Any = worker.task(ttl=RESULT_TTL, silent=True)(total)


class Client:
    """Looks for the callback's result, as the library's own wait takes 100 ms to leave its channel."""

    def __init__(self) -> None:
        self._open = AsyncExitStack()

    async def open(self) -> None:
        await self._open.enter_async_context(worker)

    async def close(self) -> None:
        await self._open.aclose()

    async def send_many(self, numbers: Sequence[int]) -> list[Sent]:
        return await _sent([_noop.enqueue(number) for number in numbers])

    async def send_naps(self, numbers: Sequence[int]) -> list[Sent]:
        return await _sent([_nap.enqueue(number) for number in numbers])

    async def send_at(self, calls: Sequence[tuple[int, float]]) -> None:
        await worker.enqueue_many(
            [
                _noop.enqueue(number).start(schedule=datetime.fromtimestamp(moment, UTC))
                for number, moment in calls
            ]
        )

    async def chord(self, numbers: range) -> int:
        members = [_noop.enqueue(number) for number in numbers]
        await worker.enqueue_many(members)
        callback = _total.enqueue(numbers.stop, sum(numbers)).start(after=[task.id for task in members])
        await callback
        return await _value(callback.id)


async def _sent(tasks: list[Any]) -> list[Sent]:
    await worker.enqueue_many(tasks)
    return [partial(_value, task.id) for task in tasks]


async def _value(id: str) -> int:
    async with asyncio.timeout(TIMEOUT):
        stored = await _stored(worker.results_key + id)
    value: int = (await worker.deserialize(stored))["r"]
    return value


async def _stored(key: str) -> str:
    while True:
        found: str | None = await worker.redis.get(key)
        if found is not None:
            return found
        await asyncio.sleep(POLL)

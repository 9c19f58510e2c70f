"""saq: Redis lists and scripts, on redis-py.

A worker's command takes asyncio's loop; it is given uvloop's here, as the others' commands take it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Any, Final

from benchmarks import marks
from benchmarks.systems import CONCURRENCY, NAP, RESULT_TTL, STORE, TIMEOUT, Sent, WrongResultError, in_lanes

POLL: Final = 0.0005
"""Seconds between two looks for a result."""

_saq: Any = import_module("saq")
import_module("uvloop").install()

# the client library's pool holds 100 unless told, and raises where one more is wanted
queue: Any = _saq.Queue.from_url(f"{STORE}?max_connections=1000")


async def noop(context: object, *, number: int) -> int:
    marks.ran(number)
    return number


async def nap(context: object, *, number: int) -> int:
    marks.ran(number)
    await asyncio.sleep(NAP)
    return number


settings: dict[str, Any] = {"queue": queue, "functions": [noop, nap], "concurrency": CONCURRENCY}


class Client:
    """Looks for results, as the library's own wait misses one that comes before it listens."""

    async def open(self) -> None:
        await queue.connect()
        # as if another worker had just swept: what a starting one finds handed out, it runs again
        await queue.redis.set(queue.namespace("sweep"), 1, ex=RESULT_TTL)

    async def close(self) -> None:
        await queue.disconnect()

    async def send(self, number: int) -> Sent:
        return partial(_value, await queue.enqueue("noop", number=number, ttl=RESULT_TTL))

    async def send_many(self, numbers: Sequence[int]) -> list[Sent]:
        return await in_lanes(self.send, numbers)

    async def send_naps(self, numbers: Sequence[int]) -> list[Sent]:
        return await in_lanes(_send_nap, numbers)

    async def send_at(self, calls: Sequence[tuple[int, float]]) -> None:
        moments = dict(calls)

        async def send(number: int) -> Sent:
            # it takes whole seconds
            when = math.ceil(moments[number])
            return partial(_value, await queue.enqueue("noop", number=number, ttl=RESULT_TTL, scheduled=when))

        await in_lanes(send, list(moments))


async def _send_nap(number: int) -> Sent:
    return partial(_value, await queue.enqueue("nap", number=number, ttl=RESULT_TTL))


async def _value(job: Any) -> int:
    async with asyncio.timeout(TIMEOUT):
        await job.refresh()
        while not job.completed:
            await asyncio.sleep(POLL)
            await job.refresh()
    if job.status != "complete":
        raise WrongResultError(f"saq's {job.id} ended {job.status}: {job.error}")
    value: int = job.result
    return value

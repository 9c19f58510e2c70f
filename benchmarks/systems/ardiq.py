"""ardiq: Redis streams from a core in Rust, msgpack.

Its command takes asyncio's loop; as the others' commands take uvloop, it is given that here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Any

from benchmarks import marks
from benchmarks.systems import CONCURRENCY, NAP, RESULT_TTL, STORE, TIMEOUT, Sent, WrongResultError

_ardiq: Any = import_module("ardiq")
asyncio.set_event_loop_policy(import_module("uvloop").EventLoopPolicy())

app: Any = _ardiq.Ardiq(
    redis_url=STORE, queue_name="bench", concurrency=CONCURRENCY, result_ttl_ms=1000 * RESULT_TTL
)


async def noop(number: int) -> int:
    marks.ran(number)
    return number


async def nap(number: int) -> int:
    marks.ran(number)
    await asyncio.sleep(NAP)
    return number


_noop: Any = app.task(noop)
_nap: Any = app.task(nap)


class Client:
    """Waits for results by the library's own wait, which the server wakes."""

    async def open(self) -> None:
        # the core connects at the first question
        await app.queue_size()

    async def close(self) -> None:
        return None

    async def send(self, number: int) -> Sent:
        return partial(_value, await _noop.enqueue(number))

    async def send_many(self, numbers: Sequence[int]) -> list[Sent]:
        return await _sent([_noop.prepare(number) for number in numbers])

    async def send_naps(self, numbers: Sequence[int]) -> list[Sent]:
        return await _sent([_nap.prepare(number) for number in numbers])

    async def send_at(self, calls: Sequence[tuple[int, float]]) -> None:
        await _sent(
            [_noop.options(schedule_ms=int(1000 * moment)).prepare(number) for number, moment in calls]
        )


async def _sent(prepared: list[Any]) -> list[Sent]:
    return [partial(_value, job) for job in await app.enqueue_many(prepared)]


async def _value(job: Any) -> int:
    result = await job.result(timeout=TIMEOUT)
    if result is None or not result.success:
        raise WrongResultError(f"ardiq has no result of {job.id}: {result}")
    value: int = result.value
    return value

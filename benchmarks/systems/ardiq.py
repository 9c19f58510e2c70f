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
from benchmarks.systems import CONCURRENCY, RESULT_TTL, STORE, TIMEOUT, Sent

_ardiq: Any = import_module("ardiq")
asyncio.set_event_loop_policy(import_module("uvloop").EventLoopPolicy())

app: Any = _ardiq.Ardiq(
    redis_url=STORE, queue_name="bench", concurrency=CONCURRENCY, result_ttl_ms=1000 * RESULT_TTL
)


async def noop(number: int) -> int:
    marks.ran(number)
    return number


_noop: Any = app.task(noop)


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
        jobs = await app.enqueue_many([_noop.prepare(number) for number in numbers])
        return [partial(_value, job) for job in jobs]


async def _value(job: Any) -> int:
    result = await job.result(timeout=TIMEOUT)
    if result is None or not result.success:
        raise RuntimeError(f"ardiq has no result of {job.id}: {result}")
    value: int = result.value
    return value

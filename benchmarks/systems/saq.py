"""saq: Redis lists and scripts, on redis-py.

A worker's command takes asyncio's loop; it is given uvloop's here, as the others' commands take it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Any

from benchmarks import marks
from benchmarks.systems import CONCURRENCY, RESULT_TTL, STORE, TIMEOUT, Sent, in_lanes

_saq: Any = import_module("saq")
import_module("uvloop").install()

# the client library's pool holds 100 unless told, and raises where one more is wanted
queue: Any = _saq.Queue.from_url(f"{STORE}?max_connections=1000")


async def noop(context: object, *, number: int) -> int:
    marks.ran(number)
    return number


settings: dict[str, Any] = {"queue": queue, "functions": [noop], "concurrency": CONCURRENCY}


class Client:
    """Waits for results by the library's own wait, which the server wakes."""

    async def open(self) -> None:
        await queue.connect()

    async def close(self) -> None:
        await queue.disconnect()

    async def send(self, number: int) -> Sent:
        return partial(_value, await queue.enqueue("noop", number=number, ttl=RESULT_TTL))

    async def send_many(self, numbers: Sequence[int]) -> list[Sent]:
        return await in_lanes(self.send, numbers)


async def _value(job: Any) -> int:
    await job.refresh(until_complete=TIMEOUT)
    if job.status != "complete":
        raise RuntimeError(f"saq's {job.id} ended {job.status}: {job.error}")
    value: int = job.result
    return value

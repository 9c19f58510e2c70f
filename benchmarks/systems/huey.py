"""huey: Redis lists, and threads."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from benchmarks import marks
from benchmarks.systems import STORE, TIMEOUT

_huey: Any = import_module("huey")
_api: Any = import_module("huey.api")

# a read blocks for as long as there is no result
app: Any = _huey.RedisHuey("bench", url=f"{STORE}?socket_timeout={TIMEOUT}", notify_result=True)


def noop(number: int) -> int:
    marks.ran(number)
    return number


def total(number: int, values: list[int]) -> int:
    marks.ran(number)
    return sum(values)


_noop: Any = app.task()(noop)
_total: Any = app.task()(total)


class Client:
    """Waits for the callback's result at a list that the worker pushes to."""

    async def open(self) -> None:
        app.pending_count()

    async def close(self) -> None:
        app.storage.pool.disconnect()

    async def chord(self, numbers: range) -> int:
        sent = app.enqueue(_api.chord([_noop.s(number) for number in numbers], _total.s(numbers.stop)))
        value: int = sent.get(blocking=True, timeout=TIMEOUT)
        return value

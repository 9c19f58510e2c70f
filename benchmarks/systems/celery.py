"""celery: the Redis transport and the Redis result backend, one process of threads."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from benchmarks import marks
from benchmarks.systems import CONCURRENCY, RESULT_TTL, STORE, TIMEOUT

_celery: Any = import_module("celery")

app: Any = _celery.Celery("bench", broker=STORE, backend=STORE)
app.conf.update(
    result_expires=RESULT_TTL,
    # a slot's share of what a worker has at hand; the default is 4
    worker_prefetch_multiplier=CONCURRENCY,
    worker_hijack_root_logger=False,
)


def noop(number: int) -> int:
    marks.ran(number)
    return number


def total(values: list[int], number: int) -> int:
    marks.ran(number)
    return sum(values)


_noop: Any = app.task(noop, name="noop")
_total: Any = app.task(total, name="total")


class Client:
    """Waits for the callback's result by the library's own wait, which the server wakes."""

    async def open(self) -> None:
        app.backend.client.ping()

    async def close(self) -> None:
        app.close()

    async def chord(self, numbers: range) -> int:
        sent = _celery.chord([_noop.s(number) for number in numbers])(_total.s(numbers.stop))
        value: int = sent.get(timeout=TIMEOUT)
        return value

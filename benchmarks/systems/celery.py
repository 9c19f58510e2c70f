"""celery: the Redis transport and the Redis result backend, one process of threads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from typing import Any

from benchmarks import marks
from benchmarks.systems import CONCURRENCY, NAP, RESULT_TTL, STORE, TIMEOUT, Sent

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


def nap(number: int) -> int:
    marks.ran(number)
    time.sleep(NAP)
    return number


def total(values: list[int], number: int) -> int:
    marks.ran(number)
    return sum(values)


_noop: Any = app.task(noop, name="noop")
_nap: Any = app.task(nap, name="nap")
_total: Any = app.task(total, name="total")


class Client:
    """Waits for the callback's result by the library's own wait, which the server wakes."""

    async def open(self) -> None:
        app.backend.client.ping()

    async def close(self) -> None:
        app.close()

    async def send_naps(self, numbers: Sequence[int]) -> list[Sent]:
        with app.producer_or_acquire() as producer:
            sent = [_nap.apply_async((number,), producer=producer) for number in numbers]
        return [partial(_value, result) for result in sent]

    async def send_at(self, calls: Sequence[tuple[int, float]]) -> None:
        with app.producer_or_acquire() as producer:
            for number, moment in calls:
                _noop.apply_async((number,), eta=datetime.fromtimestamp(moment, UTC), producer=producer)

    async def chord(self, numbers: range) -> int:
        sent = _celery.chord([_noop.s(number) for number in numbers])(_total.s(numbers.stop))
        value: int = sent.get(timeout=TIMEOUT)
        return value


async def _value(result: Any) -> int:
    value: int = result.get(timeout=TIMEOUT)
    return value

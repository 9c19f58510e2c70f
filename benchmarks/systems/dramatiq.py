"""dramatiq: Redis lists, hashes and scripts, and threads; a barrier in Redis counts a group's members.

Its callback is given no results, so it is told the sum.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from benchmarks import marks
from benchmarks.systems import RESULT_TTL, STORE, TIMEOUT

_dramatiq: Any = import_module("dramatiq")
_results: Any = import_module("dramatiq.results")
_group_callbacks: Any = import_module("dramatiq.middleware").GroupCallbacks

broker: Any = import_module("dramatiq.brokers.redis").RedisBroker(url=STORE)
broker.add_middleware(
    _results.Results(
        # a read blocks for as long as there is no result
        backend=import_module("dramatiq.results.backends").RedisBackend(
            url=f"{STORE}?socket_timeout={TIMEOUT}"
        ),
        store_results=True,
        result_ttl=1000 * RESULT_TTL,
    )
)
broker.add_middleware(
    _group_callbacks(import_module("dramatiq.rate_limits.backends").RedisBackend(url=STORE))
)


def noop(number: int) -> int:
    marks.ran(number)
    return number


def total(number: int, known: int) -> int:
    marks.ran(number)
    return known


_noop: Any = _dramatiq.actor(noop, broker=broker)
_total: Any = _dramatiq.actor(total, broker=broker)


class Client:
    """Waits for the callback's result by the library's own wait, which the server wakes."""

    async def open(self) -> None:
        broker.client.ping()

    async def close(self) -> None:
        broker.close()

    async def chord(self, numbers: range) -> int:
        members = _dramatiq.group([_noop.message(number) for number in numbers], broker=broker)
        callback = _total.message(numbers.stop, sum(numbers))
        members.add_completion_callback(callback)
        members.run()
        results = broker.get_results_backend()
        value: int = callback.get_result(backend=results, block=True, timeout=1000 * TIMEOUT)
        return value

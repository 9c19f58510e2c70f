"""taskiq with taskiq-redis: the stream broker and the Redis result backend.

It has no call that sends many, so as many senders as a worker has slots share the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Any, Final

from benchmarks import marks
from benchmarks.systems import RESULT_TTL, STORE, TIMEOUT, Sent, in_lanes

POLL: Final = 0.0005
"""Seconds between two looks for a result; the library's default, 0.2, would be all that is measured."""

_taskiq_redis: Any = import_module("taskiq_redis")
_serializers: Any = import_module("taskiq.serializers")

broker: Any = (
    _taskiq_redis.RedisStreamBroker(STORE)
    .with_result_backend(_taskiq_redis.RedisAsyncResultBackend(STORE, result_ex_time=RESULT_TTL))
    .with_serializer(_serializers.ORJSONSerializer())
)


async def noop(number: int) -> int:
    marks.ran(number)
    return number


_noop: Any = broker.register_task(noop)


class Client:
    """Waits for results by looking for them, as the library has no other way."""

    async def open(self) -> None:
        await broker.startup()

    async def close(self) -> None:
        await broker.shutdown()

    async def send(self, number: int) -> Sent:
        return partial(_value, await _noop.kiq(number))

    async def send_many(self, numbers: Sequence[int]) -> list[Sent]:
        return await in_lanes(self.send, numbers)


async def _value(task: Any) -> int:
    result = await task.wait_result(check_interval=POLL, timeout=TIMEOUT)
    if result.is_err:
        raise RuntimeError(f"taskiq's {task.task_id} failed: {result.error}")
    value: int = result.return_value
    return value

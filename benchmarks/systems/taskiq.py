"""taskiq with taskiq-redis: the stream broker and the Redis result backend.

It has no call that sends many, so as many senders as a worker has slots share the work. What is due later
waits in a schedule source, from which a scheduler, a process of its own, sends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from typing import Any, Final

from benchmarks import marks
from benchmarks.systems import NAP, RESULT_TTL, STORE, TIMEOUT, Sent, WrongResultError, in_lanes

POLL: Final = 0.0005
"""Seconds between two looks for a result; the library's default, 0.2, would be all that is measured."""

_taskiq_redis: Any = import_module("taskiq_redis")
_serializers: Any = import_module("taskiq.serializers")

broker: Any = (
    _taskiq_redis.RedisStreamBroker(STORE)
    .with_result_backend(_taskiq_redis.RedisAsyncResultBackend(STORE, result_ex_time=RESULT_TTL))
    .with_serializer(_serializers.ORJSONSerializer())
)
_source: Any = _taskiq_redis.ListRedisScheduleSource(STORE)
scheduler: Any = import_module("taskiq").TaskiqScheduler(broker, sources=[_source])


async def noop(number: int) -> int:
    marks.ran(number)
    return number


async def nap(number: int) -> int:
    marks.ran(number)
    await asyncio.sleep(NAP)
    return number


_noop: Any = broker.register_task(noop)
_nap: Any = broker.register_task(nap)


class Client:
    """Waits for results by looking for them, as the library has no other way."""

    async def open(self) -> None:
        await broker.startup()
        await _source.startup()

    async def close(self) -> None:
        await _source.shutdown()
        await broker.shutdown()

    async def send(self, number: int) -> Sent:
        return partial(_value, await _noop.kiq(number))

    async def send_many(self, numbers: Sequence[int]) -> list[Sent]:
        return await in_lanes(self.send, numbers)

    async def send_naps(self, numbers: Sequence[int]) -> list[Sent]:
        return await in_lanes(_send_nap, numbers)

    async def send_at(self, calls: Sequence[tuple[int, float]]) -> None:
        moments = dict(calls)

        async def send(number: int) -> Sent:
            when = datetime.fromtimestamp(moments[number], UTC)
            await _noop.schedule_by_time(_source, when, number)
            return partial(_nothing, number)

        await in_lanes(send, list(moments))


async def _nothing(number: int) -> int:
    return number


async def _send_nap(number: int) -> Sent:
    return partial(_value, await _nap.kiq(number))


async def _value(task: Any) -> int:
    result = await task.wait_result(check_interval=POLL, timeout=TIMEOUT)
    if result.is_err:
        raise WrongResultError(f"taskiq's {task.task_id} failed: {result.error}")
    value: int = result.return_value
    return value

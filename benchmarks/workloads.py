"""The workloads as a client sees them: written once, run for every system in its own process.

Each result is compared with the number that was sent; a wrong one ends the run. What is told is
read by ``rounds``, which watches the worker meanwhile.
"""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final, Protocol, Self

from benchmarks.systems import CONCURRENCY, Client, Sent, WrongResultError

BATCH: Final = 1000
"""Calls that are handed to ``send_many`` at once."""

WARM_UP: Final = 100
"""Tasks that are sent and awaited before a measurement with a live worker."""

TRICKLE: Final = 0.05
"""Seconds between two calls of a trickle."""

MANY: Final = 5
"""How many times the calls of one sender many senders have."""

LEAD: Final = 3.0
"""Seconds between the sending of calls and the moment they are due at, beside those that sending takes."""

PACE: Final = 600
"""Calls a second that the slowest system sends which is measured by those."""

SPREAD: Final = 5.0
"""Seconds over which calls are due one after the other."""

CHORDS: Final = 3
"""Chords that are sent one after the other, of which the median is told."""


class Line(Protocol):
    """How a client speaks with the driver."""

    def say(self, **figures: float) -> None:
        """Tell figures."""
        ...

    async def hear(self) -> list[int]:
        """Wait for the driver's word: numbers of tasks."""
        ...


class Clock:
    """Measures a block: seconds that went by, and seconds of this process's CPU time."""

    def __enter__(self) -> Self:
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *exc: object) -> None:
        self.wall = time.perf_counter() - self._wall
        self.cpu = time.process_time() - self._cpu


async def drain(client: Client, count: int, line: Line) -> None:
    """Send in bulk; as soon as the driver says which ran last, fetch those, then all others."""
    await _drain(client.send_many, count, line)


async def sleep(client: Client, count: int, line: Line) -> None:
    """The same, with tasks that sleep."""
    await _drain(client.send_naps, count, line)


async def _drain(send_many: SendMany, count: int, line: Line) -> None:
    sent: list[Sent] = []
    with Clock() as clock:
        for batch in _batches(count):
            sent += await send_many(batch)
    line.say(wall=clock.wall, cpu=clock.cpu)
    latest = await line.hear()
    await _fetch(sent, latest)
    line.say()
    await _fetch(sent, range(count))
    line.say()


async def fill(client: Client, count: int, line: Line) -> None:
    """Only send in bulk, and keep nothing of it."""
    with Clock() as clock:
        for batch in _batches(count):
            await client.send_many(batch)
    line.say(wall=clock.wall, cpu=clock.cpu)


async def due(client: Client, count: int, line: Line) -> None:
    """Send in bulk what is due at one moment, a whole second, once the worker has done what is due soon."""
    await _greet(client, line)
    moment = float(math.ceil(time.time() + LEAD + count / PACE))
    for batch in _batches(count):
        await client.send_at([(1 + number, moment) for number in batch])
    line.say(first=moment, step=0.0, sent=time.time())


async def spread(client: Client, count: int, line: Line) -> None:
    """Send calls that are due one after the other, likewise."""
    await _greet(client, line)
    first, step = time.time() + LEAD, SPREAD / count
    await client.send_at([(1 + number, first + step * number) for number in range(count)])
    line.say(first=first, step=step, sent=time.time())


async def _greet(client: Client, line: Line) -> None:
    """Send number 0, due soon, and wait until the driver says that it ran."""
    await client.send_at([(0, float(math.ceil(time.time() + 1)))])
    await line.hear()


async def latency(client: Client, count: int, line: Line) -> None:
    """Send one call after the other, each once the last one's result is there."""
    for number in range(WARM_UP):
        await _trip(client, number)
    times: list[float] = []
    for number in range(WARM_UP, WARM_UP + count):
        began = time.perf_counter()
        await _trip(client, number)
        times.append(time.perf_counter() - began)
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    line.say(p50=cuts[49], p99=cuts[98])


async def crowd(client: Client, count: int, line: Line) -> None:
    """Let many senders send and await at the same time, each one call after the other."""
    await _lanes(range(WARM_UP), lambda number: _trip(client, number))
    with Clock() as clock:
        await _lanes(range(WARM_UP, WARM_UP + count), lambda number: _trip(client, number))
    line.say(wall=clock.wall)


async def send(client: Client, count: int, line: Line) -> None:
    """Only send, with no worker: by one sender, one call after the other, then by many at the same time."""

    async def one(number: int) -> None:
        await client.send(number)

    await _lanes(range(WARM_UP), one)
    with Clock() as alone:
        for number in range(count):
            await one(number)
    with Clock() as many:
        await _lanes(range(MANY * count), one)
    line.say(one=count / alone.wall, many=MANY * count / many.wall, cpu=many.cpu / MANY / count)


async def waiters(client: Client, count: int, line: Line) -> None:
    """Send in bulk, and await all results at the same time."""
    await _lanes(range(WARM_UP), lambda number: _trip(client, number))

    async def wait(number: int, sent: Sent) -> None:
        _check(number, await sent())

    with Clock() as clock:
        async with asyncio.TaskGroup() as waits:
            for batch in _batches(count):
                numbers = range(WARM_UP + batch.start, WARM_UP + batch.stop)
                for number, sent in zip(numbers, await client.send_many(numbers), strict=True):
                    waits.create_task(wait(number, sent))
    line.say(wall=clock.wall)


async def trickle(client: Client, count: int, line: Line) -> None:
    """Send a call every 50 ms, whether or not the one before has its result."""
    for number in range(WARM_UP):
        await _trip(client, number)
    times: list[float] = []

    async def timed(number: int) -> None:
        began = time.perf_counter()
        await _trip(client, number)
        times.append(time.perf_counter() - began)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as trips:
        for step in range(count):
            await asyncio.sleep(max(0.0, began + step * TRICKLE - time.perf_counter()))
            trips.create_task(timed(WARM_UP + step))
    line.say(p50=statistics.median(times))


async def chord(client: Client, count: int, line: Line) -> None:
    """Send one chord after the other, each once the last one's callback has answered."""
    await _chord(client, range(WARM_UP))
    times: list[float] = []
    # a callback's number is the next after its members'
    for first in range(WARM_UP + 1, chord_tasks(count), count + 1):
        with Clock() as clock:
            await _chord(client, range(first, first + count))
        times.append(clock.wall)
    line.say(wall=statistics.median(times))


def chord_tasks(count: int) -> int:
    """Return how many tasks there are in all chords of *count* no-ops and the one that is not counted."""
    return WARM_UP + 1 + CHORDS * (count + 1)


Workload = Callable[[Client, int, Line], Awaitable[None]]
SendMany = Callable[[Sequence[int]], Awaitable[list[Sent]]]

WORKLOADS: Final[dict[str, Workload]] = {
    "drain": drain,
    "send": send,
    "latency": latency,
    "crowd": crowd,
    "trickle": trickle,
    "chord": chord,
    "sleep": sleep,
    "due": due,
    "spread": spread,
    "waiters": waiters,
    "fill": fill,
}


def _batches(count: int) -> Iterator[range]:
    for first in range(0, count, BATCH):
        yield range(first, min(first + BATCH, count))


async def _trip(client: Client, number: int) -> None:
    _check(number, await (await client.send(number))())


async def _chord(client: Client, numbers: range) -> None:
    value = await client.chord(numbers)
    if value != sum(numbers):
        raise WrongResultError(f"the chord of {len(numbers)} returned {value!r}")


async def _fetch(sent: list[Sent], numbers: Iterable[int]) -> None:
    async def fetch(number: int) -> None:
        _check(number, await sent[number]())

    await _lanes(numbers, fetch)


async def _lanes(numbers: Iterable[int], work: Callable[[int], Awaitable[None]]) -> None:
    left = iter(numbers)

    async def lane() -> None:
        for number in left:
            await work(number)

    async with asyncio.TaskGroup() as lanes:
        for _ in range(CONCURRENCY):
            lanes.create_task(lane())


def _check(number: int, value: int) -> None:
    if value != number:
        raise WrongResultError(f"task {number} returned {value!r}")

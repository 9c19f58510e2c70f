"""One module a system: its application, one task, and a client of it.

A rival's module is imported in that rival's own virtual environment and nowhere else, so it takes
its library by name, as ``Any``; what all of them share here is of the standard library.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

Sent = Callable[[], Awaitable[int]]
"""A task that was sent; called, it waits for the task's result."""

STORE: Final = os.environ.get("BENCH_STORE", "")
"""URL of the store that is measured."""

CALLS_AS: Final = "BENCH_CALLS_AS"
"""Environment variable: what aioqueue's calls are.

``noop``, ``carry:SIZE``, ``forget``, ``once``, or ``queues:COUNT``.
"""

CONCURRENCY: Final = 100
"""Tasks that a worker runs at once, and senders of the workload that has many."""

THREADS: Final = 8
"""Tasks at once of a worker that has a thread and a connection to the store for each of them."""

NAP: Final = 0.05
"""Seconds that a task sleeps where that is what it does."""

RESULT_TTL: Final = 3600
"""Seconds for which a result is kept."""

TIMEOUT: Final = 60
"""Seconds that a client waits for a result."""


class WrongResultError(RuntimeError):
    """A task did not end with the result that it must have."""


class Client(Protocol):
    """How a system sends its tasks, which return the number they are given.

    A system lacks what only workloads use that it takes no part in.
    """

    async def open(self) -> None:
        """Connect."""
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...

    async def send(self, number: int) -> Sent:
        """Send one call."""
        ...

    async def send_many(self, numbers: Sequence[int]) -> list[Sent]:
        """Send calls by the fastest way that the system's public API has; keep their order."""
        ...

    async def send_naps(self, numbers: Sequence[int]) -> list[Sent]:
        """Send calls of a task that sleeps for NAP seconds, in the same way."""
        ...

    async def send_at(self, calls: Sequence[tuple[int, float]]) -> None:
        """Send calls in the same way, each due at a moment, Unix; their results are not awaited."""
        ...

    async def chord(self, numbers: range) -> int:
        """Send a chord of a no-op for each of *numbers*, and return what its callback returns.

        That is the sum of the numbers; the callback's own number is ``numbers.stop``.
        """
        ...


async def in_lanes(send: Callable[[int], Awaitable[Sent]], numbers: Sequence[int]) -> list[Sent]:
    """Send by CONCURRENCY senders at once, where a system has no call for many; return in order."""
    sent: dict[int, Sent] = {}
    left = iter(numbers)

    async def lane() -> None:
        for number in left:
            sent[number] = await send(number)

    async with asyncio.TaskGroup() as lanes:
        for _ in range(CONCURRENCY):
            lanes.create_task(lane())
    return [sent[number] for number in numbers]

"""Clocks: where time comes from, so that tests can hold it in their hands.

Moments are Unix seconds; a wait ends by an event or by the clock, whichever is first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """A source of time."""

    def time(self) -> float:
        """Return the moment, in Unix seconds."""
        ...

    async def wait(self, event: asyncio.Event, *, until: float | None) -> bool:
        """Wait for *event*; return False if the moment *until* came first (None: wait for ever)."""
        ...


class SystemClock:
    """The machine's clock."""

    def time(self) -> float:
        return time.time()

    async def wait(self, event: asyncio.Event, *, until: float | None) -> bool:
        if event.is_set():
            return True
        try:
            async with asyncio.timeout(None if until is None else max(0.0, until - time.time())):
                await event.wait()
        except TimeoutError:
            return event.is_set()
        return True


def passing(clock: Clock) -> Callable[[], float]:
    """Return what measures, in seconds, the time that passes, though somebody may set *clock*.

    A clock that is not the machine's has only its own time to be measured by.
    """
    return time.monotonic if isinstance(clock, SystemClock) else clock.time


class ClockDoubt:
    """Whether moments that others wrote by a clock can be judged, or the clock may have been set.

    If it and the time that has passed disagree by more than half a lease since the last question,
    it was set. Leases look lapsed then that are not, so there is doubt for one whole lease, in
    which the living give their next sign.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.passed: Callable[[], float] = passing(clock)
        self._offset: float | None = None
        self._until: float | None = None

    def lasts(self, lease: float, *, stuck: bool = False) -> bool:
        """Tell whether nobody may be judged. lease: seconds. stuck: for other reasons nobody could beat."""
        passed = self.passed()
        offset = self._clock.time() - passed
        if stuck or (self._offset is not None and abs(offset - self._offset) > lease / 2):
            self._until = passed + lease
        self._offset = offset
        return self._until is not None and passed < self._until

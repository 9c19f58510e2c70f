"""VirtualClock: time that passes only when a test says so.

Its waiters wait on real asyncio events. Work in other threads is not waited for: what it asks
of the clock after a step counts from the moment the step has reached.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools

# Enough turns of the loop for a woken waiter to hand on what it got through some tasks.
_TURNS = 25


class VirtualClock:
    """A Clock that stands still until ``advance``; all its waiters live in one event loop."""

    def __init__(self, start: float = 1_000_000_000.0) -> None:
        self._now = start
        self._alarms: list[tuple[float, int, asyncio.Timeout]] = []
        self._numbers = itertools.count()

    @property
    def waiting(self) -> int:
        """How many waits have a moment to end at."""
        return len(self._alarms)

    def time(self) -> float:
        """Return the moment, in Unix seconds; may be called from any thread."""
        return self._now

    async def wait(self, event: asyncio.Event, *, until: float | None) -> bool:
        """Wait for *event*; return False if the moment *until* came first (None: wait for ever)."""
        if event.is_set():
            return True
        try:
            async with asyncio.timeout(None) as limit:
                await self._set_before(event, until, limit)
        except TimeoutError:
            return event.is_set()
        return True

    async def advance(self, seconds: float) -> None:
        """Move *seconds* on, stopping at each waiter's moment until the loop has settled.

        Raises ValueError for a negative number.
        """
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds}")
        target = self._now + seconds
        await _settle()
        while self._alarms and self._alarms[0][0] <= target:
            self._now = max(self._now, self._alarms[0][0])
            self._ring()
            await _settle()
        self._now = target
        await _settle()

    async def _set_before(self, event: asyncio.Event, until: float | None, limit: asyncio.Timeout) -> None:
        if until is None:
            await event.wait()
            return
        alarm = (until, next(self._numbers), limit)
        heapq.heappush(self._alarms, alarm)
        # A moment that is over still lets the loop turn, as the machine's clock does.
        self._ring()
        try:
            await event.wait()
        finally:
            if alarm in self._alarms:
                self._alarms.remove(alarm)
                heapq.heapify(self._alarms)

    def _ring(self) -> None:
        """Wake all whose moment has come."""
        now = asyncio.get_running_loop().time()
        while self._alarms and self._alarms[0][0] <= self._now:
            heapq.heappop(self._alarms)[2].reschedule(now)


async def _settle() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)

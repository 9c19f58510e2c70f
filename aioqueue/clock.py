"""Clocks: where time comes from, so that tests can hold it in their hands.

Moments are Unix seconds; a wait ends by an event or by the clock, whichever is first.
"""

from __future__ import annotations

import asyncio
import time
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

"""The clocks tests move: a virtual one, or the machine's where a store keeps its own time.

A test says ``await clock.advance(3)`` either way. What the machine's clock would make it wait
for too long is not tested there.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import pytest

from aioqueue.clock import Clock, SystemClock
from tests.support.waiting import pause

PATIENCE = 5.0
"""Longest stretch of real time a test may wait for, in seconds."""


class MovableClock(Clock, Protocol):
    """A Clock that a test can move."""

    async def advance(self, seconds: float) -> None:
        """Return when *seconds* have passed."""
        ...


class PatientClock(SystemClock):
    """The machine's clock, moved by waiting."""

    async def advance(self, seconds: float) -> None:
        if seconds > PATIENCE:
            pytest.xfail(f"this store keeps its own time, and {seconds:g} s are too long to wait")
        await pause(seconds)


class SettableClock(SystemClock):
    """The machine's clock, which somebody sets."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead

    async def wait(self, event: asyncio.Event, *, until: float | None) -> bool:
        return await super().wait(event, until=None if until is None else until - self.ahead)

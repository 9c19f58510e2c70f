"""Upkeep: hands on what dead consumers held, in small steps, drops old dead letters, and lets go of the rest
of workflows that were too much for one step.

A lease lapses by the server's clock. After a restart, a failover, a stall or a jump of that clock,
leases look lapsed that could not be kept; so nobody is judged before this process has seen the same
run of the server, its clock and the monotonic one in agreement, for as long as the lease lasts.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from aioqueue.adapters.redis.core import Access
from aioqueue.adapters.redis.faults import translated
from aioqueue.adapters.redis.link import Value
from aioqueue.adapters.redis.pulse import Pulse

_DRIFT: Final = 1.0
_STEP: Final = 100
_SLOTS: Final = 1_000
_DEAD_MS: Final = 180 * 86_400_000


class Calm:
    """Since when (monotonic seconds) leases could be kept, as far as this process can tell."""

    def __init__(self) -> None:
        self._run: str | None = None
        self._since = time.monotonic()
        self._offset = (0.0, 0.0)

    def seen(self, run: str, server_time: float, asked: float, answered: float) -> float:
        """Take in an answer of the server; return the seconds of calm.

        The server's clock is ahead of the monotonic one by *server_time* less a moment between
        *asked* and *answered*.
        """
        low, high = server_time - answered, server_time - asked
        agrees = low <= self._offset[1] + _DRIFT and high >= self._offset[0] - _DRIFT
        if run != self._run or not agrees or answered - asked > _DRIFT:
            self._run, self._since = run, answered
        self._offset = (low, high)
        return answered - self._since

    def trouble(self, at: float) -> None:
        """Take in that something went wrong at *at*."""
        self._since = max(self._since, at)


def _clock(pulse: Pulse) -> tuple[str, float, float, float]:
    """Return the run of the server, its time, and when it was asked and has answered."""
    asked = time.monotonic()
    run, at = pulse.script("clock")
    return run.decode(), int(at) / 1000, asked, time.monotonic()


class Upkeep:
    """One adapter's rounds."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._calm = Calm()

    async def look(self) -> float:
        """Ask the server who and when it is; return the seconds of calm."""
        session = self._access.session
        with translated(self._access.unavailable, self._access.core.options.shown):
            # in a thread, as a blocked loop says nothing about the server
            run, at, asked, answered = await asyncio.to_thread(_clock, session.pulse)
        self._calm.trouble(session.pipe.troubled)
        return self._calm.seen(run, at, asked, answered)

    async def maintain(self) -> int:
        """Do one round; return how many messages were handed on."""
        calm = await self.look()
        moved = 0
        lost, old, rest, limits = await self._access.script("judge", int(calm * 1000), _DEAD_MS)
        for consumer in lost:
            moved += await self.hand_on(consumer.decode(), "lost")
        while old:
            old = await self._access.script("trim", _DEAD_MS) == _STEP
        while rest:
            rest = await self._access.script("rest")
        if limits:
            await self.tend()
        return moved

    async def tend(self) -> None:
        """Free the slots of those that died, and wake who is parked and could start."""
        limits = await self._access.command("HGETALL", f"{self._access.core.options.prefix}limits")
        step: list[Value] = []
        slots = 0
        for scope, most in zip(limits[::2], limits[1::2], strict=True):
            step.append(scope)
            slots += int(most)
            if slots >= _SLOTS or len(step) == _STEP:
                await self._tend(step)
                step, slots = [], 0
        await self._tend(step)

    async def _tend(self, scopes: list[Value]) -> None:
        while scopes:
            left: int = await self._access.script("tend", *scopes)
            scopes = scopes[left - 1 :] if left else []

    async def hand_on(self, consumer: str, why: str) -> int:
        """Hand on what *consumer* holds, in steps; return how many messages that were."""
        moved = 0
        while True:
            step: int = await self._access.script("reap", consumer, why)
            moved += max(0, step)
            if step < _STEP:
                return moved

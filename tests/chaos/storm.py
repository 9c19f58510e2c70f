"""A storm: tasks are sent while workers and Redis are killed, and workers stopped and woken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from aioqueue import AsyncResult, Server
from aioqueue.protocols.messages import Record
from tests.chaos.fleet import Fleet
from tests.chaos.load import Load
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually, pause

LEASE = 2.0
PROCESSES, CONCURRENCY = 4, 16
TIMINGS = {"AIOQUEUE_LEASE": str(LEASE), "AIOQUEUE_BEAT": "0.5", "AIOQUEUE_SWEEP": "0.5"}
REFUSED = "its end is refused"

DEADLINE = 400.0
"""Seconds after which a storm has failed that is not over."""

_BETWEEN = 0.2
_ROUND = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """How many there are at least: tasks, kills and stops of a busy worker, kills of Redis."""

    tasks: int
    kills: int
    restarts: int
    stops: int


@dataclass
class Storm:
    """What was done, and to how many runs.

    seen: tells whether that was seen which workers are stopped for; they are until it was.
    away: seconds for which Redis was, each time.
    """

    server: Server
    redis: RedisServer
    fleet: Fleet
    plan: Plan
    seen: Callable[[], bool]
    hits: list[int] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    away: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._load = Load(self.server)

    @property
    def results(self) -> list[AsyncResult[int]]:
        """What was sent, by the number of the task."""
        return self._load.results

    @property
    def sent_again(self) -> int:
        """How many sends had to be made again."""
        return self._load.sent_again

    @property
    def over(self) -> bool:
        """Whether all of the plan was done."""
        killed = len(self.hits) >= self.plan.kills and len(self.away) >= self.plan.restarts
        return self._stopped and killed and len(self.results) >= self.plan.tasks

    @property
    def _stopped(self) -> bool:
        """Whether enough were stopped, and what that is for was seen."""
        return len(self.held) >= self.plan.stops and self.seen()

    async def rage(self) -> None:
        """Do all of the plan, sending all the while."""
        end = time.monotonic() + DEADLINE
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stops())
            group.create_task(self._kills(group))
            while not self.over:
                if time.monotonic() > end:
                    pytest.fail(f"after {DEADLINE:g} s of storm: {self._done()}")
                await self._load.send(_ROUND)
                await pause(_BETWEEN / 2)

    async def calm(self) -> list[Record]:
        """Wait until every task has ended and nothing is left; return the records."""
        return await self._load.calm()

    def _done(self) -> str:
        return (
            f"{len(self.results)} tasks, {len(self.hits)} kills, {len(self.away)} restarts,"
            f" {len(self.held)} stops of {self.plan}"
        )

    async def _kills(self, group: asyncio.TaskGroup) -> None:
        every = self.plan.kills // (self.plan.restarts + 1)
        while len(self.hits) < self.plan.kills:
            last = time.monotonic()
            # the eldest is spared, for somebody has to judge; now and then it is its turn
            spared = len(self.hits) % 20 != 19
            running = await self.fleet.kill_a_busy_one(but_the_eldest=spared)
            if running:
                self.hits.append(running)
                if len(self.hits) % every == 0 and len(self.hits) // every <= self.plan.restarts:
                    group.create_task(self._restart())
            await pause(max(0.0, last + _BETWEEN - time.monotonic()))

    async def _restart(self) -> None:
        await eventually(self._stands_written, deadline=60)
        began = time.monotonic()
        self.redis.kill()
        await asyncio.to_thread(self.redis.start)
        self.away.append(time.monotonic() - began)

    def _stands_written(self) -> bool:
        """Stop Redis if it has written all; tell whether it stands still."""
        second = int(time.time())
        if not self._written():
            return False
        self.redis.pause()
        # not in time, where this process was held up
        if int(time.time()) == second:
            return True
        self.redis.resume()
        return False

    def _written(self) -> bool:
        """Tell whether Redis has written all that it has acknowledged.

        While it syncs its file every second it answers before it writes, for 2 s at most, and a kill
        loses that. It begins when a second does, so in the middle of one without a sync there is none.
        """
        found = self.redis.info("persistence")
        quiet = found["aof_pending_bio_fsync"] == 0 and found["aof_buffer_length"] == 0
        return quiet and 0.4 < time.time() % 1 < 0.9

    async def _stops(self) -> None:
        while not self._stopped:
            running = await self.fleet.stop_a_busy_one(2 * LEASE)
            if running:
                self.held.append(running)

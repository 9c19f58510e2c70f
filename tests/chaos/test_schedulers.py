"""Three processes fire schedules, and one after the other is killed: each slot fires once."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from aioqueue import Server
from aioqueue.slots import SECOND
from tests.support.processes import AIOQUEUE, ROOT, Process
from tests.support.stores import BUILT_IN, Implementation
from tests.support.waiting import eventually, pause

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(400)]

APP = "tests.chaos.ticking:server"
TICKS, KILLS = 200, 5
EVERY = SECOND // 5


def slot_of(id: str) -> int:
    """Return the slot of a tick."""
    seconds, _, rest = id.rpartition(".")[2].partition("-")
    return int(seconds) * SECOND + int(rest or 0)


def ran(history: Path) -> dict[str, Counter[int]]:
    """Return how often each slot has run, by schedule."""
    found = {name: Counter[int]() for name in ("every", "last", "alone")}
    for id in history.read_text().split() if history.exists() else ():
        found[id.partition(".")[0]][slot_of(id)] += 1
    return found


async def keep_dying(start: Start, random: Random, kills: list[int]) -> None:
    """Kill one of three schedulers after the other, and start it again; note whom, until cancelled.

    The one before ticks again by then, so that on a busy machine some do.
    """
    processes = [await start() for _ in range(3)]
    while True:
        await pause(random.uniform(0.1, 1.2))
        number = random.randrange(3)
        processes[number].signal(signal.SIGKILL)
        await processes[number].wait()
        kills.append(number)
        await pause(random.uniform(0.0, 0.5))
        processes[number] = await start()


class Start:
    """Starts schedulers of one deployment."""

    def __init__(self, stack: AsyncExitStack, env: dict[str, str]) -> None:
        self._stack = stack
        self._env = env

    async def __call__(self) -> Process:
        argv = [*AIOQUEUE, "schedule", "run", APP]
        started = Process.start(argv, env=self._env, cwd=ROOT)
        process = await self._stack.enter_async_context(started)
        await process.line("is ready", deadline=60)
        return process


@pytest.mark.parametrize("store", BUILT_IN[1:], ids=lambda store: store.name)
async def test_killed_schedulers_fire_each_slot_once(store: Implementation, tmp_path: Path) -> None:
    history, url, seed = tmp_path / "history", store.url(tmp_path), Random().randrange(sys.maxsize)
    env = {"AIOQUEUE_BROKER": url, "HISTORY": str(history)}
    print(f"seed {seed}")
    async with AsyncExitStack() as stack:
        worker = Process.start([*AIOQUEUE, "worker", APP, "--no-scheduler"], env=env, cwd=ROOT)
        await (await stack.enter_async_context(worker)).line("is ready", deadline=30)
        kills: list[int] = []
        dying = asyncio.create_task(keep_dying(Start(stack, env), Random(seed), kills))

        def enough() -> bool:
            found = ran(history)
            return (
                len(kills) >= KILLS
                and len(found["every"]) >= TICKS
                and all(len(found[name]) > TICKS / 4 for name in ("last", "alone"))
            )

        await eventually(enough, deadline=200)
        dying.cancel()
        await asyncio.wait([dying])
    async with Server(url) as server:
        dead = await server.dead_letters()

    found = ran(history)
    every = sorted(found["every"])
    print(f"{len(kills)} kills, {[len(slots) for slots in found.values()]} slots")
    assert {count for slots in found.values() for count in slots.values()} == {1}
    assert {later - slot for slot, later in pairwise(every)} == {EVERY}
    assert all(slot % EVERY == 0 for slots in found.values() for slot in slots)
    assert dead == []

"""Limits over several processes: as many starts a second as were said, and never more at once, whoever dies.

The times are those that tasks write down outside the system.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import pytest

from aioqueue import AsyncResult, Server, Signature
from aioqueue.ids import new_id
from aioqueue.patience import CARDS
from tests.chaos.fleet import Fleet
from tests.chaos.history import History
from tests.support.redis_server import shared
from tests.support.stores import missing
from tests.support.waiting import eventually, pause

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(300)]

PROCESSES = 4
RATE, SECONDS, SPARE, ROUNDS = 100, 5.0, 5, 6
MOST = 1.2 * RATE * SECONDS
"""No round may have more; a second's lateness that is made up for in it makes as many."""

SLOTS, EACH, KILLS = 4, 2, 6
ROUND = 12
"""Tasks that wait at least, so that there is something to do whoever lives."""
TIMINGS = {
    "AIOQUEUE_LEASE": "2",
    "AIOQUEUE_BEAT": "0.5",
    "AIOQUEUE_SWEEP": "0.5",
    "AIOQUEUE_MAX_LOSSES": str(KILLS),
}


def _redis(folder: Path) -> str:
    try:
        return shared("redis").url(namespace=new_id())
    except LookupError as exc:
        missing("redis-server", exc)


def _sqlite(folder: Path) -> str:
    return f"sqlite:///{folder / 'limits.db'}"


@pytest.fixture(params=[_sqlite, _redis], ids=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    made: Callable[[Path], str] = request.param
    return made(tmp_path)


async def test_a_hundred_a_second_on_four_processes(url: str, tmp_path: Path) -> None:
    """A machine that is busy starts some late, and makes up for it: then it is tried again."""
    history = History(tmp_path / "history")
    env = {"AIOQUEUE_BROKER": url, "HISTORY": str(history.path)}
    counted: list[int] = []
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(url))
        await _served(server, Fleet(stack, history, env, concurrency=25))
        while len(counted) < ROUNDS and (not counted or abs(counted[-1] - RATE * SECONDS) > SPARE):
            counted.append(await _starts(server, history))

    pids = len({line.pid for line in history.lines()})
    print(f"{counted} starts in {SECONDS:g} s on {pids} processes")
    assert abs(counted[-1] - RATE * SECONDS) <= SPARE
    assert max(counted) <= MOST
    assert max(history.begun().values()) == 1


async def _starts(server: Server, history: History) -> int:
    """Send more than can start in time; return how many start in it, as a rule, from some start on.

    The very first is not late; counted from it alone the lateness of the others would tell.
    """
    known, count = len(history.begun()), int(RATE * (SECONDS + 1))
    await server.send_many([Signature(name="paced", args=[known + n]) for n in range(count)])
    await eventually(lambda: len(history.begun()) == known + count, deadline=60)
    starts = sorted(line.at for line in history.lines() if line.event == "begin" and line.n >= known)
    firsts = [first for first in starts if first < starts[-1] - SECONDS]
    return round(median(sum(first <= at < first + SECONDS for at in starts) for first in firsts))


async def test_never_more_at_once_than_may_and_never_stuck_under_kills(url: str, tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    env = {"AIOQUEUE_BROKER": url, "HISTORY": str(history.path), **TIMINGS}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(url))
        # two of them at least have to run to take all slots
        fleet = Fleet(stack, history, env, concurrency=EACH)
        await _served(server, fleet)
        killed = asyncio.Event()
        feeding = asyncio.create_task(_feed(server, killed))
        try:
            while len(fleet.killed) < KILLS:
                await fleet.kill_a_busy_one(but_the_eldest=True)
            # that all slots are taken at some moment is what the rest rests on
            await eventually(lambda: _most_at_once(history, fleet.killed) >= SLOTS, deadline=60)
        finally:
            killed.set()
        results = await feeding
        values = [await result.get(timeout=60) for result in results]
        lapses = fleet.lapses()

    most = _most_at_once(history, fleet.killed)
    print(f"{len(values)} tasks, {KILLS} kills, {most} at once at most, {lapses} leases lost without a kill")
    assert values == list(range(len(results)))
    # whose lease is lost though it lives has not stopped yet what others run by then
    assert SLOTS <= most <= SLOTS + lapses * EACH


async def _feed(server: Server, killed: asyncio.Event) -> list[AsyncResult[int]]:
    """Keep tasks waiting until all are killed who are to be; return them."""
    results: list[AsyncResult[int]] = []
    while not killed.is_set():
        (queue,) = await server.stores.broker.stats(["default"])
        if (queue.ready or 0) + (queue.delayed or 0) < ROUND:
            calls = (
                Signature(name="slotted", args=[len(results) + n, random.uniform(0.1, 0.4)])
                for n in range(ROUND)
            )
            results += await server.send_many(calls)
        await pause(0.05)
    return results


async def _served(server: Server, fleet: Fleet) -> None:
    """Start the processes, and wait until all of them serve."""
    store = server.stores.store
    assert store is not None
    for _ in range(PROCESSES):
        await fleet.grow()

    async def all_there() -> bool:
        return len(await store.list(CARDS)) >= PROCESSES

    await eventually(all_there, deadline=60)


def _most_at_once(history: History, killed: Mapping[int, float]) -> int:
    """Return how many ran in one moment; what a killed process ran ended with it."""
    steps: list[tuple[float, int]] = []
    running: dict[int, int] = {}
    for line in history.lines():
        change = 1 if line.event == "begin" else -1
        running[line.pid] = running.get(line.pid, 0) + change
        steps.append((line.at, change))
    steps += [(at, -running.get(pid, 0)) for pid, at in killed.items()]
    most = now = 0
    for _, change in sorted(steps):
        now += change
        most = max(most, now)
    return most

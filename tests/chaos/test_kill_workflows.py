"""``kill -9`` of workers, and stops, while chords of chains run: each task of them ends once, with its value.

Commits are counted by the store that keeps the records, in the step that makes them. That they would be
seen if there were two of a task is proven by an adapter without a fence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from aioqueue import AsyncResult, Server, Signature, chain, chord, group
from aioqueue.models.state import State
from tests.chaos import commits, copies, mutants
from tests.chaos.copies import Change
from tests.chaos.fleet import Fleet
from tests.chaos.history import History
from tests.chaos.remains import Keys
from tests.support import redis_server
from tests.support.redis_server import RedisServer
from tests.support.stores import missing
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(400)]

PROCESSES, CONCURRENCY = 4, 16
CANVASES, KILLS, STOPS, MEMBERS = 500, 25, 3, 5
STOPPED = 4.0
"""Seconds a process stands still, twice its lease."""

MOST_STOPS = 25
"""After so many without a commit of two the proof has failed."""

REFUSED = "its end is refused"
CALLBACK, AFTER = 1_000_000, 2_000_000
"""Numbers of callbacks begin here, and of what follows the whole."""

TASKS = 3 * MEMBERS + 2
"""Of one canvas: work, what goes on and what it goes on as, a member; the callback; what follows."""

TIMINGS = {
    "AIOQUEUE_LEASE": "2",
    "AIOQUEUE_BEAT": "0.5",
    "AIOQUEUE_SWEEP": "0.5",
    "AIOQUEUE_MAX_LOSSES": str(KILLS),
}


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A server of the test's own, which writes an append-only file."""
    binary = redis_server.debian() or missing("redis-server", "it is not installed")
    with RedisServer(binary, appendonly=True) as server:
        yield server


def canvas(number: int) -> Signature[int]:
    """Return a chord of chains whose value is known: each ends with its number, by a task that goes on.

    Another task follows the whole.
    """
    after = Signature(name="work", args=(AFTER + number, 0.0), takes="none")
    members = [
        chain(
            Signature(name="work", args=(number * MEMBERS + at, 0.02), takes="none"),
            Signature(name="again", args=(number * MEMBERS + at, 0.02), takes="none"),
        )
        for at in range(MEMBERS)
    ]
    whole = chord(group(members), Signature(name="gather", args=(CALLBACK + number,)))
    return whole.options(on_success=after)


def expected(number: int) -> int:
    """Return the value of that chord."""
    return sum(range(number * MEMBERS, (number + 1) * MEMBERS))


class Fields:
    """Workers of a copy with changes, and canvases that keep them busy. results: of all that was sent.

    database: of the records, if they are not in Redis too.
    """

    def __init__(
        self, redis: RedisServer, folder: Path, changes: Sequence[Change] = (), *, apart: bool
    ) -> None:
        self.url = redis.url(namespace="kill")
        self.keys = Keys(redis, self.url)
        self.database = folder / "records.db" if apart else None
        self.records = None if self.database is None else f"sqlite:///{self.database}"
        self.server = Server(self.url, backend=self.records)
        self.history = History(folder / "history")
        counted = (*copies.COUNTED, *copies.DECIDED, *changes)
        self.copy = copies.copied(folder / "copy", counted)
        self.results: list[AsyncResult[int]] = []

    async def manned(self, stack: AsyncExitStack) -> Fleet:
        """Return the workers, which are starting."""
        await stack.enter_async_context(self.server)
        if self.database is not None:
            commits.count(self.database)
        env = {"AIOQUEUE_BROKER": self.url, "HISTORY": str(self.history.path), **TIMINGS}
        env |= {"AIOQUEUE_BACKEND": self.records} if self.records else {}
        env |= copies.environment(self.copy)
        fleet = Fleet(stack, self.history, env, concurrency=CONCURRENCY, cwd=self.copy)
        for _ in range(PROCESSES):
            await fleet.grow()
        return fleet

    async def busy_while(self, doing: Coroutine[None, None, int]) -> int:
        """Send canvases until *doing* has been done; return what it returns.

        On a slow machine it is long before a process that was just started has something to do.
        """
        task = asyncio.ensure_future(doing)
        while not task.done():
            first = len(self.results)
            calls = [canvas(first + n) for n in range(CANVASES // KILLS)]
            self.results += await self.server.send_many(calls)

            async def over(first: int = first) -> bool:
                return task.done() or await self.ended(first)

            await eventually(over, deadline=60)
        return await task

    async def ended(self, first: int = 0) -> bool:
        """Tell whether all from number *first* on has ended."""
        return all([(await result.state()).state.final for result in self.results[first:]])

    async def nothing_left(self) -> bool:
        """Tell whether the queue holds nothing."""
        (counts,) = await self.server.stores.broker.stats(["default"])
        return (counts.ready, counts.delayed, counts.held, counts.dead) == (0, 0, 0, 0)

    def committed(self) -> tuple[int, int]:
        """Return how many commits there were, and of how many tasks."""
        if self.database is not None:
            return commits.counted(self.database)
        found = self.keys.hash("commits")
        return sum(int(times) for times in found.values()), len(found)


@pytest.mark.parametrize("backend", ["redis", "sqlite"])
async def test_killed_workers_lose_and_double_no_workflow(
    redis: RedisServer, tmp_path: Path, backend: str
) -> None:
    fields = Fields(redis, tmp_path, apart=backend == "sqlite")
    kills = stops = 0

    async with AsyncExitStack() as stack:
        fleet = await fields.manned(stack)
        while kills < KILLS:
            kills += await fields.busy_while(fleet.kill_a_busy_one(but_the_eldest=True)) > 0
        while stops < STOPS or not (fleet.said(REFUSED) or fields.keys.told("refused")):
            stops += await fields.busy_while(fleet.stop_a_busy_one(STOPPED)) > 0
        await eventually(fields.ended, deadline=120)
        states = [await result.state() for result in fields.results]
        await eventually(fields.nothing_left, deadline=20)

    begun, count = fields.history.begun(), len(states)
    again, committed = begun.total() - TASKS * count, fields.committed()
    print(
        f"{count} chords of chains, {kills} kills, {stops} stops, {again} runs repeated, {committed} commits"
    )
    assert committed == (TASKS * count, TASKS * count)
    assert [state.state for state in states if state.state is not State.SUCCESS] == []
    assert [state.result for state in states] == [expected(n) for n in range(count)]
    assert all(begun[first + n] >= 1 for n in range(count) for first in (CALLBACK, AFTER))


async def test_the_proof_itself_finds_a_missing_fence(redis: RedisServer, tmp_path: Path) -> None:
    fields = Fields(redis, tmp_path, mutants.NO_FENCE, apart=False)

    async with AsyncExitStack() as stack:
        fleet = await fields.manned(stack)
        made = tasks = stops = 0
        while made == tasks:
            if stops == MOST_STOPS:
                pytest.fail(f"nothing was committed twice in {stops} stops and {tasks} tasks")
            await fields.busy_while(fleet.stop_a_busy_one(STOPPED))
            made, tasks = fields.committed()
            stops += 1

    print(f"without a fence {tasks} tasks have {made} commits after {stops} stops")
    assert made > tasks

"""``kill -9`` of workers on SQLite: nothing is lost, nothing is committed twice.

Every kill hits a process that has begun a task and not ended it, by what the tasks themselves
write down outside the system. Commits are counted by a trigger in the database.
"""

from __future__ import annotations

import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from aioqueue import AsyncResult, Server, Signature
from aioqueue.models.state import State
from tests.chaos import commits
from tests.chaos.fleet import Fleet
from tests.chaos.history import History
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(700)]

PROCESSES, CONCURRENCY = 4, 16
TASKS, KILLS = 1_000, 40
ROUND = TASKS // KILLS
# No task is the culprit of any kill here, however often one is hit.
TIMINGS = {
    "AIOQUEUE_LEASE": "2",
    "AIOQUEUE_BEAT": "0.5",
    "AIOQUEUE_SWEEP": "0.5",
    "AIOQUEUE_MAX_LOSSES": str(KILLS),
}


async def test_killed_workers_lose_nothing_and_commit_nothing_twice(tmp_path: Path) -> None:
    database, history = tmp_path / "kill.db", History(tmp_path / "history")
    env = {"AIOQUEUE_BROKER": f"sqlite:///{database}", "HISTORY": str(history.path), **TIMINGS}
    hits: list[int] = []

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(env["AIOQUEUE_BROKER"]))
        commits.count(database)
        fleet = Fleet(stack, history, env, concurrency=CONCURRENCY)
        for _ in range(PROCESSES):
            await fleet.grow()
        results: list[AsyncResult[int]] = []
        while len(hits) < KILLS:
            calls = (
                Signature(name="work", args=[len(results) + n, random.uniform(0.02, 0.1)])
                for n in range(ROUND)
            )
            results += await server.send_many(calls)
            running = await fleet.kill_a_busy_one()
            hits += [running] if running else []
        records = server.stores.backend

        async def all_ended() -> bool:
            found = await records.get([result.id for result in results])
            return all(record is not None and record.state.final for record in found)

        await eventually(all_ended, deadline=120)
        states = [(await result.state()) for result in results]
        await eventually(lambda: _nothing_left(server), deadline=10)

    begun = history.begun()
    again = sum(times - 1 for times in begun.values())
    print(
        f"{len(results)} tasks, {len(hits)} kills hitting {sum(hits)} runs, {again} runs repeated,"
        f" {fleet.lapses()} leases lost without a kill"
    )
    assert len(results) >= TASKS
    assert [state.state for state in states if state.state is not State.SUCCESS] == []
    assert [state.result for state in states] == list(range(len(results)))
    assert commits.counted(database) == (len(results), len(results))
    assert begun.keys() == set(range(len(results)))
    assert len(hits) == KILLS
    assert again <= (KILLS + fleet.lapses()) * CONCURRENCY


async def _nothing_left(server: Server) -> bool:
    (counts,) = await server.stores.broker.stats(["default"])
    return (counts.ready, counts.delayed, counts.held, counts.dead) == (0, 0, 0, 0)

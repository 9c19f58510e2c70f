"""``kill -9`` of workers on SQLite: nothing is lost, nothing is committed twice.

Every kill hits a process that has begun a task and not ended it, by what the tasks themselves
write down outside the system. Commits are counted by a trigger in the database.
"""

from __future__ import annotations

import random
import signal
import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest

from aioqueue import AsyncResult, Server, Signature
from aioqueue.models.state import State
from tests.chaos.history import History
from tests.support.processes import AIOQUEUE, Process
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(300)]

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

COUNT_COMMITS = """
CREATE TABLE committed (id TEXT, state TEXT);
CREATE TRIGGER count_commits AFTER INSERT ON tasks
WHEN NEW.state IN ('SUCCESS', 'FAILURE', 'CANCELLED', 'EXPIRED')
BEGIN
  INSERT INTO committed VALUES (NEW.id, NEW.state);
END;
"""


class Fleet:
    """Worker processes that are killed and replaced."""

    def __init__(self, stack: AsyncExitStack, env: dict[str, str]) -> None:
        self._stack = stack
        self._env = env
        self.processes: dict[int, Process] = {}
        self.started: list[Process] = []

    def lapses(self) -> int:
        """Return how often a process that was not killed lost its lease: on a machine that is too busy."""
        return sum("the lease of consumer" in line for process in self.started for line in process.lines)

    async def grow(self) -> None:
        """Start one more."""
        argv = [
            *AIOQUEUE,
            "worker",
            "tests.chaos.app:server",
            "-c",
            str(CONCURRENCY),
            "--log-level",
            "warning",
        ]
        process = await self._stack.enter_async_context(Process.start(argv, env=self._env))
        self.processes[process.pid] = process
        self.started.append(process)

    async def kill_a_busy_one(self, history: History) -> int:
        """SIGKILL a process that runs a task at this moment, and replace it; return how many it ran."""
        busy: dict[int, int] = {}

        def found() -> bool:
            nonlocal busy
            busy = {pid: runs for pid, runs in history.in_flight().items() if pid in self.processes}
            return bool(busy)

        await eventually(found, deadline=30)
        pid = random.choice(list(busy))
        process = self.processes.pop(pid)
        process.signal(signal.SIGKILL)
        await process.wait()
        running = history.in_flight()[pid]
        await self.grow()
        return running


async def test_killed_workers_lose_nothing_and_commit_nothing_twice(tmp_path: Path) -> None:
    database, history = tmp_path / "kill.db", History(tmp_path / "history")
    env = {"AIOQUEUE_BROKER": f"sqlite:///{database}", "HISTORY": str(history.path), **TIMINGS}
    hits: list[int] = []

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(env["AIOQUEUE_BROKER"]))
        with closing(sqlite3.connect(database, timeout=10)) as connection:
            connection.executescript(COUNT_COMMITS)
        fleet = Fleet(stack, env)
        for _ in range(PROCESSES):
            await fleet.grow()
        results: list[AsyncResult[int]] = []
        while len(hits) < KILLS:
            calls = (
                Signature(name="work", args=[len(results) + n, random.uniform(0.02, 0.1)])
                for n in range(ROUND)
            )
            results += await server.send_many(calls)
            running = await fleet.kill_a_busy_one(history)
            hits += [running] if running else []
        records = server.stores.backend

        async def all_ended() -> bool:
            found = await records.get([result.id for result in results])
            return all(record is not None and record.state.final for record in found)

        await eventually(all_ended, deadline=120)
        states = [(await result.state()) for result in results]
        await eventually(lambda: _nothing_left(server), deadline=10)

    with closing(sqlite3.connect(database, timeout=10)) as connection:
        commits = connection.execute("SELECT count(*), count(DISTINCT id) FROM committed").fetchone()
        sound = connection.execute("PRAGMA integrity_check").fetchone()
    begun = history.begun()
    again = sum(times - 1 for times in begun.values())
    print(
        f"{len(results)} tasks, {len(hits)} kills hitting {sum(hits)} runs, {again} runs repeated,"
        f" {fleet.lapses()} leases lost without a kill"
    )
    assert len(results) >= TASKS
    assert [state.state for state in states if state.state is not State.SUCCESS] == []
    assert [state.result for state in states] == list(range(len(results)))
    assert commits == (len(results), len(results))
    assert begun.keys() == set(range(len(results)))
    assert len(hits) == KILLS
    assert again <= (KILLS + fleet.lapses()) * CONCURRENCY
    assert sound == ("ok",)


async def _nothing_left(server: Server) -> bool:
    (counts,) = await server.stores.broker.stats(["default"])
    return (counts.ready, counts.delayed, counts.held, counts.dead) == (0, 0, 0, 0)

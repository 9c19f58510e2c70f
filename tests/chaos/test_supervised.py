"""``kill -9`` of a worker that is supervised: what it held runs elsewhere long before its lease lapses."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from aioqueue import Server, Signature
from aioqueue.models.state import State
from tests.chaos.history import History
from tests.support.processes import AIOQUEUE, Process
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(300)]

WITHIN = 5.0
DAY = 86_400.0
COMMAND = [*AIOQUEUE, "worker", "tests.chaos.app:server", "--processes", "2", "--shutdown-timeout", "0.2"]


async def test_killed_childs_task_runs_elsewhere_at_once(tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    broker = f"sqlite:///{tmp_path / 'supervised.db'}"
    env = {"AIOQUEUE_BROKER": broker, "HISTORY": str(history.path)}

    async with Server(broker) as server, Process.start(COMMAND, env=env) as supervisor:
        for _ in range(2):
            await supervisor.line("is ready", deadline=30)
        results = await server.send_many([Signature(name="work", args=[n, DAY]) for n in range(3)])
        await eventually(lambda: sum(history.in_flight().values()) == 3, deadline=30)
        victim = history.lines()[0].pid
        held = [line.n for line in history.lines() if line.pid == victim]
        os.kill(victim, signal.SIGKILL)
        killed = time.time()

        def runs_again() -> bool:
            return {line.n for line in history.lines() if line.pid != victim} == {0, 1, 2}

        await eventually(runs_again, deadline=20)
        took = max(line.at for line in history.lines()) - killed
        states = [await results[n].state() for n in held]
        said = await supervisor.line("handed on")
        supervisor.signal(signal.SIGTERM)
        code = await supervisor.wait()
        left = await server.stores.store.list("birth:") if server.stores.store is not None else {}

    print(f"{len(held)} tasks ran elsewhere {took:.2f} s after the kill; the lease is 15 s")
    assert took < WITHIN
    assert f"handed on {len(held)} tasks of a worker process that died" in said
    assert [(s.state, s.attempt, s.losses) for s in states] == [(State.STARTED, 1, 1)] * len(held)
    assert code == 0
    assert left == {}


async def test_tasks_of_all_children_killed_at_once_run_in_those_that_follow(tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    broker = f"sqlite:///{tmp_path / 'supervised.db'}"
    backend = f"sqlite:///{tmp_path / 'results.db'}"
    env = {"AIOQUEUE_BROKER": broker, "AIOQUEUE_BACKEND": backend, "HISTORY": str(history.path)}

    async with Server(broker, backend=backend) as server, Process.start(COMMAND, env=env) as supervisor:
        for _ in range(2):
            await supervisor.line("is ready", deadline=30)
        results = await server.send_many([Signature(name="work", args=[n, DAY]) for n in range(4)])
        await eventually(lambda: sum(history.in_flight().values()) == 4, deadline=30)
        victims = [int((await supervisor.line("started, pid ")).rpartition(" ")[2]) for _ in range(2)]
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        killed = time.time()

        def runs_again() -> bool:
            return {line.n for line in history.lines() if line.pid not in victims} == {0, 1, 2, 3}

        await eventually(runs_again, deadline=20)
        took = max(line.at for line in history.lines()) - killed
        states = [await result.state() for result in results]
        supervisor.signal(signal.SIGTERM)
        code = await supervisor.wait()

    print(f"4 tasks ran in other processes {took:.2f} s after the kill; the lease is 15 s")
    assert took < WITHIN
    assert [(s.state, s.attempt, s.losses) for s in states] == [(State.STARTED, 1, 1)] * 4
    assert code == 0

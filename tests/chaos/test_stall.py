"""A loop that stands still is told, and keeps what it runs; for too long, its process is ended."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from aioqueue import Server, Signature
from aioqueue.models.state import State
from tests.chaos.history import History
from tests.support.processes import AIOQUEUE, Process
from tests.support.stores import BUILT_IN, Implementation
from tests.support.waiting import eventually, within

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(300)]

COMMAND = [*AIOQUEUE, "worker", "tests.chaos.app:server"]
SHARED = [store for store in BUILT_IN if store.name != "memory"]
"""The stores that processes share."""

LEASE = 2.0


@pytest.fixture(params=SHARED, ids=lambda store: store.name)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    store: Implementation = request.param
    url = store.url(tmp_path)
    yield url
    if store.check is not None:
        store.check(url)


async def test_process_whose_loop_stands_still_ends_with_70_and_its_task_runs_elsewhere(
    broker: str, tmp_path: Path
) -> None:
    history = History(tmp_path / "history")
    env = {
        "AIOQUEUE_BROKER": broker,
        "HISTORY": str(history.path),
        "AIOQUEUE_LEASE": "4",
        "AIOQUEUE_BEAT": "0.2",
        "AIOQUEUE_SWEEP": "0.2",
        "AIOQUEUE_STALL": "1.5",
        "AIOQUEUE_STALL_WARNING": "0.5",
    }

    async with Server(broker) as server, Process.start(COMMAND, env=env) as blocked:
        result = await server.send(Signature(name="block", args=[1, 600.0]))
        told = await blocked.line("has been blocked", deadline=20)
        await blocked.line("stands still", deadline=20)
        code = await blocked.wait()
        async with Process.start(COMMAND, env={**env, "AIOQUEUE_STALL": "300"}) as heir:
            await eventually(lambda: history.in_flight()[heir.pid] == 1, deadline=20)
            state = await result.state()

    assert code == 70
    assert f"block[{result.id}] from default at " in told
    assert "app.py:" in told
    assert any("time.sleep(seconds)" in line for line in blocked.lines)
    assert (state.state, state.attempt, state.losses) == (State.STARTED, 1, 1)


async def test_task_that_blocks_the_loop_for_three_leases_runs_once_while_another_worker_sweeps(
    broker: str, tmp_path: Path
) -> None:
    history = History(tmp_path / "history")
    env = {
        "AIOQUEUE_BROKER": broker,
        "HISTORY": str(history.path),
        "AIOQUEUE_LEASE": str(LEASE),
        "AIOQUEUE_BEAT": "0.5",
        "AIOQUEUE_SWEEP": "0.2",
    }

    async with (
        Server(broker) as server,
        Process.start(COMMAND, env=env) as one,
        Process.start(COMMAND, env=env) as two,
    ):
        await asyncio.gather(one.line("is ready", deadline=20), two.line("is ready", deadline=20))
        result = await server.send(Signature(name="block", args=[1, 3 * LEASE + 0.5]))
        value = await within(result, deadline=30)
        state = await result.state()
        processes = {one.pid: one, two.pid: two}
        told = await processes[history.lines()[0].pid].line("has been blocked")
        # that somebody sweeps: a lease that is not kept is found out
        lost = await server.send(Signature(name="block", args=[2, 600.0]))
        await eventually(lambda: history.begun()[2] == 1)
        processes[history.lines()[-1].pid].signal(signal.SIGKILL)
        await eventually(lambda: history.begun()[2] == 2, deadline=20)
        found = await lost.state()

    assert value == 1
    assert history.begun()[1] == 1
    assert (state.attempt, state.losses) == (1, 0)
    assert f"block[{result.id}] from default at " in told
    assert "app.py:" in told
    assert "time.sleep(seconds)" in told
    assert (found.state, found.attempt, found.losses) == (State.STARTED, 1, 1)

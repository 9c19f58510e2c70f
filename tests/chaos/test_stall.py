"""A loop that stands still for too long: its stack is told, its lease given up, its process ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from aioqueue import Server, Signature
from aioqueue.models.state import State
from tests.chaos.history import History
from tests.support.processes import AIOQUEUE, Process
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]


async def test_process_whose_loop_stands_still_ends_with_70_and_its_task_runs_elsewhere(
    tmp_path: Path,
) -> None:
    history = History(tmp_path / "history")
    broker = f"sqlite:///{tmp_path / 'stall.db'}"
    env = {
        "AIOQUEUE_BROKER": broker,
        "HISTORY": str(history.path),
        "AIOQUEUE_LEASE": "4",
        "AIOQUEUE_BEAT": "0.2",
        "AIOQUEUE_SWEEP": "0.2",
        "AIOQUEUE_STALL": "1.5",
        "AIOQUEUE_STALL_WARNING": "0.5",
    }
    command = [*AIOQUEUE, "worker", "tests.chaos.app:server"]

    async with Server(broker) as server, Process.start(command, env=env) as blocked:
        result = await server.send(Signature(name="block", args=[1, 600.0]))
        told = await blocked.line("has been blocked", deadline=20)
        await blocked.line("stands still", deadline=20)
        code = await blocked.wait()
        async with Process.start(command, env={**env, "AIOQUEUE_STALL": "300"}) as heir:
            await eventually(lambda: history.in_flight()[heir.pid] == 1, deadline=20)
            state = await result.state()

    assert code == 70
    assert f"block[{result.id}] at " in told
    assert "app.py:" in told
    assert any("time.sleep(seconds)" in line for line in blocked.lines)
    assert (state.state, state.attempt, state.losses) == (State.STARTED, 1, 1)

"""The examples run as they stand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.processes import AIOQUEUE, ROOT, Process, run

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

QUICKSTART = ROOT / "examples" / "quickstart"


async def test_quickstart_demo_tells_two_processes_a_receipt_and_the_sum(tmp_path: Path) -> None:
    done = await run([sys.executable, QUICKSTART / "demo.py"], cwd=tmp_path, deadline=90)

    pids = {
        line.rsplit(" ", 1)[1]
        for line in done.out.splitlines()
        if "client pid" in line or "worker pid" in line
    }
    assert done.code == 0
    assert len(pids) == 2
    assert "the sum of 1 to 10 is 55" in done.out
    assert any("received sum[" in line for line in done.out.splitlines())


async def test_quickstart_demo_fails_without_the_workers_receipt(tmp_path: Path) -> None:
    # a store that processes do not share is refused by the worker, so that no receipt is written
    done = await run(
        [sys.executable, QUICKSTART / "demo.py"], cwd=tmp_path, deadline=90, env={"BROKER": "memory://nobody"}
    )

    assert done.code == 1
    assert "received" not in done.out


async def test_schedules_are_fired_added_and_removed_while_a_worker_runs(tmp_path: Path) -> None:
    env = {"AIOQUEUE_BROKER": f"sqlite:///{tmp_path / 'tasks.db'}"}
    argv = [*AIOQUEUE, "worker", "examples.periodic.reports:server"]
    async with Process.start(argv, cwd=ROOT, env=env) as worker:
        await worker.line("is ready", deadline=30)
        script = [sys.executable, "-m", "examples.periodic.reports"]
        done = await run(script, cwd=ROOT, env=env, deadline=60)

    assert done.code == 0, done.err
    assert "the daily report comes next at 07:30 in Europe/London" in done.out
    assert "and now as well: 30 sold in 3 shops" in done.out
    assert done.out.splitlines()[2:] == [
        "daily-report: 30 7 * * 1-5, sends chord, on",
        "shop-7: 0 * * * *, sends count, on",
        "tick: every 1 s, sends tick, paused",
    ]

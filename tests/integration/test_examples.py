"""The examples run as they stand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, run

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

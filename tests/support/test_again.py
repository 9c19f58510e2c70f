"""A test is run again where the machine stood still, and nowhere else; the watch tells whether it did."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.processes import run

pytestmark = pytest.mark.anyio

HOOKS = """
from tests.support.again import pytest_report_teststatus, pytest_runtest_protocol, pytest_terminal_summary
"""
TESTS = """
import os, signal, threading
import pytest
from tests.support.again import watch

RUNS = []

@pytest.fixture
def run():
    RUNS.append(1)
    yield len(RUNS)

def test_a(run):
    still, passes = {still}, {passes}
    if still:
        os.kill(watch().pid, signal.SIGSTOP)
        threading.Event().wait(0.7)
        os.kill(watch().pid, signal.SIGCONT)
    print("run", run)
    assert run == passes

def test_b():
    pass
"""


@pytest.mark.parametrize(
    ("still", "passes", "told"),
    [
        (True, 2, "2 passed, 1 again"),
        (True, 3, "1 failed, 1 passed, 1 again"),
        (False, 2, "1 failed, 1 passed"),
        (True, 1, "2 passed"),
    ],
)
async def test_test_that_failed_while_the_machine_stood_still_is_run_again_once(
    tmp_path: Path, still: bool, passes: int, told: str
) -> None:
    (tmp_path / "conftest.py").write_text(HOOKS)
    (tmp_path / "test_it.py").write_text(TESTS.format(still=still, passes=passes))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    done = await run(argv, cwd=tmp_path, env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})

    *_, last = done.out.strip().splitlines()
    assert told in last
    assert ("again" in last) == ("the machine stood still for" in done.out) == ("again" in told)
    assert done.code == ("failed" in told)

"""Runs a test again, once, that failed while the machine stood still, and tells of it.

What is promised is promised of a machine that runs: where nobody did for a while, a lease lapses and a
moment is missed. A process that does nothing but sleep measures it, by how late it wakes. A test that fails
while the machine runs has failed.
"""

from __future__ import annotations

import atexit
import os
import select
import subprocess
import sys
import time
from functools import cache

import pytest
from _pytest.runner import runtestprotocol

STILL = 0.4
"""Seconds for which nothing ran, from which on it counts."""

AGAIN = "again"
_TICK, _TELLS = 0.05, 3.0
_WATCH = f"""
import os, time
parent, last = os.getppid(), time.monotonic()
os.write(1, b"\\n")
while os.getppid() == parent:
    time.sleep({_TICK})
    now = time.monotonic()
    if now - last > {_TICK + STILL}:
        os.write(1, f"{{last}} {{now}}\\n".encode())
    last = now
"""
_second = pytest.StashKey[bool]()


class Watch:
    """The process that sleeps. pid: its own."""

    def __init__(self) -> None:
        argv = (sys.executable, "-I", "-S", "-c", _WATCH)
        self._owner = os.getpid()
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._told = self._process.stdout.fileno()
        os.read(self._told, 1)
        self._stalls: list[tuple[float, float]] = []
        self.pid = self._process.pid
        atexit.register(self._end)

    def stood_still(self, since: float) -> float:
        """Return the most seconds for which nothing ran since then, by ``time.monotonic``."""
        # what has just ended is told a little later, and who tells it has to be woken too
        while select.select([self._told], [], [], _TELLS)[0]:
            for line in os.read(self._told, 65_536).splitlines():
                began, ended = map(float, line.split())
                self._stalls.append((began, ended))
        return max((ended - began for began, ended in self._stalls if ended > since), default=0.0)

    def _end(self) -> None:
        # a process that was forked runs this too
        if os.getpid() == self._owner:
            self._process.kill()
            self._process.communicate()


@cache
def watch() -> Watch:
    """Return the one of this process, which watches from the first call on."""
    return Watch()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test, and again if it must be."""
    if item.stash.get(_second, False):
        return None
    watching, began = watch(), time.monotonic()
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    failed = next((report for report in reports if report.failed), None)
    still = watching.stood_still(began) if failed else 0.0
    if failed and still:
        failed.outcome = AGAIN  # type: ignore[assignment]  # not one of pytest's own
        failed.user_properties.append((AGAIN, f"the machine stood still for {still:.1f} s"))
        item.ihook.pytest_runtest_logreport(report=failed)
        item.stash[_second] = True
        item.ihook.pytest_runtest_protocol(item=item, nextitem=nextitem)
        return True
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
    """Say that a test is run again."""
    return (AGAIN, "A", "AGAIN") if str(report.outcome) == AGAIN else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what was run again, with why it failed."""
    for report in terminalreporter.stats.get(AGAIN, []):
        why = dict(report.user_properties)[AGAIN]
        terminalreporter.write_sep("_", f"{report.nodeid} was run again: {why}")
        terminalreporter.write_line(report.longreprtext)

"""Tells, in the summary of a run, at how many moments processes have died in the tests that let them.

Each such test prints how many there were, and fails where calls go by unseen; what it prints comes from
whichever process has run it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

_TOLD = re.compile(r"^(\d+) moments$", flags=re.MULTILINE)
_CASE = re.compile(r"::(\w+)\[(.*?)(?: \d+)?\]$")
"""A test and the pair it is over; a number at the end is one of several runs."""


def told(moments: int) -> None:
    """Tell at how many moments a process has died in the test that runs."""
    print(f"{moments} moments")


def summary(passed: Iterable[tuple[str, str]]) -> list[str]:
    """Return a line a test. passed: ids of tests, and what each has printed."""
    found: dict[str, dict[str, list[int]]] = {}
    for id, printed in passed:
        case, moments = _CASE.search(id), _TOLD.findall(printed)
        if case is not None and moments:
            runs = found.setdefault(case[1], {}).setdefault(case[2], [])
            runs += map(int, moments)
    return [
        f"{test}: {', '.join(_said(pair, runs) for pair, runs in sorted(pairs.items()))}"
        for test, pairs in sorted(found.items())
    ]


def write_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write it, if any such test has run."""
    reports = terminalreporter.stats.get("passed", [])
    lines = summary((report.nodeid, report.capstdout) for report in reports)
    if lines:
        terminalreporter.write_sep("_", "moments at which a process died, each in a world of its own")
    for line in lines:
        terminalreporter.write_line(line)


def _said(pair: str, runs: list[int]) -> str:
    least, most = min(runs), max(runs)
    return f"{pair} {least if least == most else f'{least} to {most}'}{f' x {len(runs)}' * (len(runs) > 1)}"

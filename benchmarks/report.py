"""The report: medians over the rounds, and each rival's ratio to aioqueue."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.contestants import Contestant
from benchmarks.rounds import Figures

_VERSIONS: Final = """
import json, platform, sys
from importlib.metadata import PackageNotFoundError, version
def of(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None
print(json.dumps({"Python": platform.python_version(), **{name: of(name) for name in sys.argv[1:]}}))
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. scale: from what was measured to the unit that is shown."""

    figure: str
    title: str
    better: str
    scale: float = 1.0
    digits: int = 0


ROWS: Final = (
    Row("send rate", "bulk send, tasks/s", "more"),
    Row("send cpu", "bulk send, client CPU us/task", "less", 1e6, 1),
    Row("drain rate", "drain, tasks/s", "more"),
    Row("drain cpu", "drain, worker CPU us/task", "less", 1e6, 1),
    Row("latency p50", "one at a time, p50 ms", "less", 1e3, 2),
    Row("latency p99", "one at a time, p99 ms", "less", 1e3, 2),
    Row("crowd rate", "100 senders, tasks/s", "more"),
)


def machine() -> str:
    """Return what the figures hang on beside the systems, and how busy it is with other things."""
    load = os.getloadavg()[0]
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load average {load:.1f}"


def versions(contestant: Contestant) -> str:
    """Return the versions of a contestant's Python and packages, asked of its own interpreter."""
    argv = [contestant.python, "-c", _VERSIONS, *contestant.packages.split()]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    found: dict[str, str | None] = json.loads(said)
    return ", ".join(f"{name} {number}" for name, number in found.items() if number is not None)


def table(figures: Mapping[str, Sequence[Figures]], rows: Sequence[Row] = ROWS) -> Iterator[str]:
    """Give the lines of a Markdown table; the first system is the one the ratios are to."""
    first, *rivals = figures
    yield _line("median of the rounds", "better", first, *(f"{rival} (ratio)" for rival in rivals))
    yield _line(*("---",) * 2, *("---:",) * len(figures))
    for row in rows:
        ours = _median(figures[first], row)
        cells = [_shown(ours, row)]
        for rival in rivals:
            theirs = _median(figures[rival], row)
            cells.append(f"{_shown(theirs, row)} ({theirs / ours:.2f})")
        yield _line(row.title, row.better, *cells)


def _median(rounds: Sequence[Figures], row: Row) -> float:
    return statistics.median(figures[row.figure] for figures in rounds)


def _shown(value: float, row: Row) -> str:
    return f"{value * row.scale:,.{row.digits}f}"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"

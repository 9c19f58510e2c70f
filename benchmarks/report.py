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
from benchmarks.rounds import WIDER, Record

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


CALLS: Final = (
    Row("send rate", "bulk send, tasks/s", "more"),
    Row("send cpu", "bulk send, client CPU us/task", "less", 1e6, 1),
    Row("drain rate", "drain, tasks/s", "more"),
    Row("drain cpu", "drain, worker CPU us/task", "less", 1e6, 1),
    Row("drain store cpu", "drain, the server's CPU us/task", "less", 1e6, 1),
    Row("drain store commands", "drain, commands a task, scripts' own too", "less", 1.0, 1),
    Row("drain store bytes", "drain, bytes a task, to and from the server", "less"),
    Row("one sender rate", "1 sender that awaits no result, tasks/s", "more"),
    Row("senders rate", "100 such senders, tasks/s", "more"),
    Row("senders cpu", "100 such senders, client CPU us/task", "less", 1e6, 1),
    Row("latency p50", "one at a time, p50 ms", "less", 1e3, 2),
    Row("latency p99", "one at a time, p99 ms", "less", 1e3, 2),
    Row("crowd rate", "100 senders, tasks/s", "more"),
    Row("trickle p50", "one every 50 ms, p50 ms", "less", 1e3, 2),
)
CHORDS: Final = (
    Row("chord", "chord, ms", "less", 1e3, 1),
    Row("wide chord", f"{WIDER} times as wide, ms", "less", 1e3, 1),
    Row("chord growth", "times the chord's time", "less", 1.0, 1),
)

_NONE: Final = "\N{EN DASH}"


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


def tables(records: Mapping[str, Record]) -> Iterator[str]:
    """Give the lines of a table of calls and one of chords, where there are figures for them."""
    if calling := {name: record for name, record in records.items() if _has(record, CALLS)}:
        yield from ("", *table(calling, CALLS))
    if any(_has(record, CHORDS) for record in records.values()):
        yield from ("", *listing(records, CHORDS))


def table(records: Mapping[str, Record], rows: Sequence[Row]) -> Iterator[str]:
    """Give the lines of a Markdown table, a figure a line.

    The first system is the one that ratios are to.
    """
    first, *rivals = records
    yield _line("median of the rounds", "better", first, *(f"{rival} (ratio)" for rival in rivals))
    yield _line(*("---",) * 2, *("---:",) * len(records))
    for row in rows:
        yield _line(
            row.title, row.better, *(_cell(record, row, records[first]) for record in records.values())
        )


def listing(records: Mapping[str, Record], rows: Sequence[Row]) -> Iterator[str]:
    """Give the lines of a Markdown table, a system a line, with the reason of one that was not run.

    The first system is the one that ratios are to.
    """
    first, *_ = records.values()
    yield _line("median of the rounds (ratio)", *(f"{row.title}; {row.better} is better" for row in rows))
    yield _line("---", *("---:",) * len(rows))
    for name, record in records.items():
        cells = [_cell(record, row, first) for row in rows]
        yield _line(name, *([f"not run: {record.reason}", *cells[1:]] if record.reason else cells))


def _has(record: Record, rows: Sequence[Row]) -> bool:
    return any(_median(record, row) is not None for row in rows)


def _cell(record: Record, row: Row, first: Record) -> str:
    """Return a median as it is shown, with its ratio to that of *first* unless it is that."""
    value, ours = _median(record, row), _median(first, row)
    if value is None:
        return _NONE
    shown = f"{value * row.scale:,.{row.digits}f}"
    return shown if record is first or not ours else f"{shown} ({value / ours:.2f})"


def _median(record: Record, row: Row) -> float | None:
    """Return the median over the rounds; none where the system was not run, or not by this."""
    values = [figures[row.figure] for figures in record.rounds if row.figure in figures]
    return statistics.median(values) if values and not record.reason else None


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"

"""The report: medians over the rounds, and each rival's ratio to aioqueue, as Markdown."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from benchmarks.contestants import Contestant
from benchmarks.rows import CALLS, CHORDS, OWN, TIMES, Row
from benchmarks.runs import Record

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
    """Give the lines of all tables for which there are figures, and of one for what does not count."""
    if calling := {name: record for name, record in records.items() if _has(record, CALLS)}:
        yield from ("", *table(calling, CALLS))
    for rows in (TIMES, CHORDS):
        if any(_has(record, rows) for record in records.values()):
            yield from ("", *listing(records, rows))
    own = {name: record for name, record in records.items() if _has(record, OWN)}
    if own:
        yield from ("", *table(own, OWN))
    if lines := [*uncounted(records)]:
        yield from ("", *lines)


def table(records: Mapping[str, Record], rows: Sequence[Row]) -> Iterator[str]:
    """Give the lines of a Markdown table, a figure a line, without those that nobody has.

    The first system is the one that ratios are to.
    """
    first, *rivals = records
    yield _line("median of the rounds", "better", first, *(f"{rival} (ratio)" for rival in rivals))
    yield _line(*("---",) * 2, *("---:",) * len(records))
    for row in rows:
        cells = [_cell(record, row, records[first]) for record in records.values()]
        if set(cells) != {_NONE}:
            yield _line(row.title, row.better, *cells)


def listing(records: Mapping[str, Record], rows: Sequence[Row]) -> Iterator[str]:
    """Give the lines of a Markdown table, a system a line, with the reason of one that was not run.

    The first system is the one that ratios are to.
    """
    first, *_ = records.values()
    yield _line("median of the rounds (ratio)", *(f"{row.title}; {row.better} is better" for row in rows))
    yield _line("---", *("---:",) * len(rows))
    for name, record in records.items():
        cells = [_cell(record, row, first) for row in rows]
        if record.reason:
            yield _line(name, f"not run: {record.reason}", *cells[1:])
        elif set(cells) != {_NONE}:
            yield _line(name, *cells)


def uncounted(records: Mapping[str, Record]) -> Iterator[str]:
    """Give the lines of a table of the workloads of which a system's figures do not count; none if all do."""
    lines = [
        _line(name, workload, why) for name, record in records.items() for workload, why in _faults(record)
    ]
    if lines:
        yield from (_line("not counted", "workload", "why"), _line(*("---",) * 3), *lines)


def median(record: Record, figure: str) -> float | None:
    """Return the median over the rounds; none where the system was not run, or not by this."""
    values = [figures[figure] for figures in record.rounds if figure in figures]
    return statistics.median(values) if values and not record.reason else None


def _faults(record: Record) -> Iterator[tuple[str, str]]:
    for workload, losses in record.lost.items():
        yield workload, f"{len(losses)} of {len(record.rounds)} rounds: {'; '.join(losses)}"
    for workload, reasons in record.failed.items():
        yield workload, f"no figures in {len(reasons)} of {len(record.rounds)} rounds: {'; '.join(reasons)}"


def _has(record: Record, rows: Sequence[Row]) -> bool:
    return any(median(record, row.figure) is not None for row in rows)


def _cell(record: Record, row: Row, first: Record) -> str:
    """Return a median as it is shown, with its ratio to that of *first* unless it is that."""
    value, ours = median(record, row.figure), median(first, row.figure)
    if value is None:
        return _NONE
    return row.shown(value) if record is first or not ours else f"{row.shown(value)} ({value / ours:.2f})"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"

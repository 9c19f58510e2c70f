"""The page: ``python -m benchmarks.page [FILE]`` makes ``docs/benchmarks.md`` of what was measured.

FILE is what a run wrote, the latest unless told. Nothing is measured here and nothing asked of the machine,
so the same file makes the same page.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import report, results
from benchmarks.charts import Bar, chart
from benchmarks.processes import ROOT
from benchmarks.rows import CALLS, CHORDS, OWN, TIMES, Row
from benchmarks.runs import Record

PAGE: Final = ROOT / "docs" / "benchmarks.md"

_INTRO: Final = """\
# Benchmarks

<!-- made by `make bench-page`; change benchmarks/page.py, not this page -->

Figures of one run on one machine. They tell how systems compare there, and not what another machine does.
`make bench-setup` builds an environment a rival, `make bench` measures the quickest of them in less than
6 minutes, `make bench-full` all there is, and `make bench-page` makes this page of it. What is measured from
where to where, what each system does and promises for a task, and how each is configured, is told in
`benchmarks/README.md`.
"""

_QUICK: Final = """\
!!! warning
    These figures are of a run with few tasks, on a machine that was busy with other things. They show what
    the page looks like; `make bench-full` and `make bench-page` put figures here.
"""

_METHOD: Final = """\
## Method

- The systems take turns: each workload is run for one after the other, and that again for each round. Shown
  are the medians over the rounds.
- Each system has an environment of its own at its newest version, and the configuration that its
  documentation has for speed. All run on one Python and one server on the loopback, which keeps nothing on
  disk and is emptied before each measurement; SQLite's file is on the machine's disk.
- A worker is one process with 100 slots unless a row says otherwise. The no-op returns its number; results
  are stored and kept for an hour.
- Each task marks in memory shared with the driver that it ran, and when. All must have run once each, and
  those whose results are awaited must return the number they were given. Where a rival loses or repeats
  tasks, that round does not count, and a table says so.
- *limit* is no rival: it is the least that keeps the same promises for a task, in Python on the same client
  library, and has nothing else.
- In brackets stands the ratio to aioqueue. Where more is better, a ratio above 1 is the rival's lead; where
  less is better, one below 1 is.
- A long backlog is sent before the worker starts; its second half is what is timed. The worker's memory is
  what is its own, so that the marks are none of it.
"""

_CHARTS: Final = (
    ("drain rate", "20,000 no-ops with results drained, tasks/s; more is better"),
    ("send rate", "Sent in bulk, tasks/s; more is better"),
    ("drain cpu", "Worker CPU, us a task; less is better"),
    ("latency p50", "From send to result with an idle worker, p50 ms; less is better"),
    ("due p99", "Due at once, p99 ms late; less is better"),
    ("spread p50", "Due one by one, p50 ms late; less is better"),
    ("chord", "A chord of 1,000, ms; less is better"),
)


def page(told: Mapping[str, Any]) -> str:
    """Return the page of what a run came to."""
    return "\n".join(_parts(told)).rstrip() + "\n"


def _parts(told: Mapping[str, Any]) -> Iterator[str]:
    records = results.records(told)
    yield _INTRO
    if told["quick"]:
        yield _QUICK
    yield from ("## In short", "", *_charts(records, told["sizes"]))
    yield from _section("Calls", records, CALLS, across=True)
    yield from _section("Tasks that take or await their time", records, TIMES)
    yield from _section("Chords", records, CHORDS)
    own = dict([*records.items()][:1])
    yield from _section("aioqueue alone", own, OWN, across=True)
    if lines := [*report.uncounted(records)]:
        yield from (
            "## What does not count",
            "",
            "| system | workload | why |",
            "| --- | --- | --- |",
            *lines,
            "",
        )
    yield from ("## Ratios", "", "aioqueue's figure to the other one.", "", *_ratios(told["ratios"]), "")
    yield _METHOD
    yield from _machine(told)


def _charts(records: Mapping[str, Record], sizes: Mapping[str, int]) -> Iterator[str]:
    rows = {row.figure: row for row in (*CALLS, *TIMES, *CHORDS)}
    for figure, title in _CHARTS:
        if bars := _bars(records, rows[figure]):
            said = title.replace("20,000", f"{sizes['drain']:,}").replace("1,000", f"{sizes['chord']:,}")
            yield from (chart(said, bars), "")


def _bars(records: Mapping[str, Record], row: Row) -> list[Bar]:
    """Return a bar for each system that has the figure, the best first."""
    found = [
        Bar(name, value * row.scale, row.shown(value), ours=number == 0)
        for number, (name, record) in enumerate(records.items())
        if (value := report.median(record, row.figure)) is not None
    ]
    return sorted(found, key=lambda bar: bar.value, reverse=row.better == "more")


def _section(
    title: str, records: Mapping[str, Record], rows: Sequence[Row], *, across: bool = False
) -> Iterator[str]:
    """Give a table; across: a system a column, else a line."""
    having = {
        name: record
        for name, record in records.items()
        if any(report.median(record, row.figure) is not None for row in rows)
    }
    if having:
        lines = report.table(having, rows) if across else report.listing(having, rows)
        yield from (f"## {title}", "", *lines, "")


def _ratios(ratios: Mapping[str, float]) -> Iterator[str]:
    yield from ("| ratio | |", "| --- | ---: |")
    for name, value in ratios.items():
        yield f"| `{name}` | {value:g} |"


def _machine(told: Mapping[str, Any]) -> Iterator[str]:
    yield from ("## Machine and versions", "")
    yield f"{told['machine']}, at the start; {told['store']}; rounds: {told['count']}."
    yield from ("", "| system | versions |", "| --- | --- |")
    for name, said in told["versions"].items():
        yield f"| {name} | {said} |"
    yield from ("", "| workload | tasks |", "| --- | ---: |")
    for name, count in told["sizes"].items():
        yield f"| `{name}` | {count:,} |" if name != "idle" else f"| `{name}` | {count} s |"


def write(source: Path) -> None:
    """Make the page of what a run wrote to *source*."""
    PAGE.write_text(page(json.loads(source.read_text())))


if __name__ == "__main__":
    write(Path(sys.argv[1]) if sys.argv[1:] else results.LATEST)
    print(f"written to {PAGE}")

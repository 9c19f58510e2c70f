"""The benchmark measures what ran, once each, with the right result; how fast is nobody's test."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from benchmarks import report, results, rivals, server
from benchmarks.contestants import AIOQUEUE, RIVALS, Contestant
from benchmarks.marks import VARIABLE, Marks, ran
from benchmarks.processes import BenchmarkError
from benchmarks.rounds import Record, Run, Sizes, drain, rounds
from benchmarks.systems import Sent
from benchmarks.workloads import Workload, WrongResultError, chord, latency

FEW = Sizes(drain=200, send=20, latency=10, crowd=100, trickle=3, chord=10)
PINS = Path(report.__file__).parent / "requirements"


def fresh_files(folder: Path) -> Callable[[], str]:
    numbers = itertools.count()
    return lambda: f"sqlite:///{folder}/{next(numbers)}.db"


class Liar:
    """A client whose tasks return something else."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, number: int) -> Sent:
        async def outcome() -> int:
            return number + 1

        return outcome

    async def send_many(self, numbers: Sequence[int]) -> list[Sent]:
        return [await self.send(number) for number in numbers]

    async def chord(self, numbers: range) -> int:
        return sum(numbers) + 1


class Silence:
    """A line on which nobody speaks."""

    def say(self, **figures: float) -> None: ...

    async def hear(self) -> list[int]:
        return []


def test_a_round_measures_every_row_of_the_table(tmp_path: Path) -> None:
    records = rounds([AIOQUEUE], fresh_files(tmp_path), sizes=FEW, count=1)

    rows = {row.figure for row in (*report.CALLS, *report.CHORDS) if "store" not in row.figure}
    assert [set(figures) for figures in records["aioqueue"].rounds] == [rows]


def test_only_the_workloads_that_are_wanted_and_that_a_system_takes_are_run(tmp_path: Path) -> None:
    callers = replace(AIOQUEUE, name="callers", takes=frozenset({"drain"}))

    records = rounds([AIOQUEUE, callers], fresh_files(tmp_path), sizes=FEW, count=1, workloads=["latency"])

    assert set(records["aioqueue"].rounds[0]) == {"latency p50", "latency p99"}
    assert records["callers"].rounds == [{}]


def test_redis_is_measured_on_a_server_that_ends_with_the_run(tmp_path: Path) -> None:
    program = server.binary()
    assert program is not None
    with server.redis_server(program, tmp_path) as url:
        figures = drain(Run(AIOQUEUE, url, tmp_path), FEW)
        server.empty(url)

    assert figures["drain rate"] > 0
    with pytest.raises(RedisConnectionError):
        server.empty(url)


def test_a_worker_that_dies_ends_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dying = replace(AIOQUEUE, worker="-c print('unwell')")

    with pytest.raises(BenchmarkError, match="0 of 1 tasks ran"):
        drain(Run(dying, f"sqlite:///{tmp_path}/a.db", tmp_path), FEW)
    assert "unwell" in capsys.readouterr().out


def test_a_rival_that_cannot_run_is_shown_with_the_reason(tmp_path: Path) -> None:
    nobody = replace(AIOQUEUE, name="nobody", takes=frozenset({"drain"}))
    absent = replace(AIOQUEUE, name="absent", unable="it cannot be installed here")

    records = rounds(
        [nobody, absent], fresh_files(tmp_path), sizes=FEW, count=2, workloads=["drain", "chord"]
    )

    assert records["nobody"].reason.startswith("drain: ")
    assert records["nobody"].reason.endswith("ended with code 1 and no figures")
    assert (records["absent"].rounds, records["absent"].reason) == ([{}, {}], absent.unable)


@pytest.mark.parametrize(
    ("workload", "told"), [(latency, "task 0 returned 1"), (chord, "the chord of 100 returned 4951")]
)
async def test_a_wrong_result_ends_the_run(workload: Workload, told: str) -> None:
    with pytest.raises(WrongResultError, match=told):
        await workload(Liar(), 1, Silence())


def test_lost_and_doubled_tasks_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = Marks(tmp_path / "marks", 4)
    monkeypatch.setenv(VARIABLE, str(marks.path))
    for number in (2, 0, 0, 3):
        ran(number)

    assert (marks.runs, marks.latest(2), marks.wrong()) == (4, [0, 3], [0, 1])


def test_the_table_shows_medians_and_ratios_to_the_first_system() -> None:
    row = report.Row("wait", "wait, ms", "less", 1e3, 1)
    ours, theirs = [0.004, 0.002, 0.1], [0.001, 0.002, 0.1]

    records = {
        "us": Record([{"wait": wait} for wait in ours]),
        "them": Record([{"wait": wait} for wait in theirs]),
    }

    assert [*report.table(records, [row])][-1] == "| wait, ms | less | 4.0 | 2.0 (0.50) |"


def test_the_list_of_chords_shows_who_has_none_and_who_was_not_run() -> None:
    records = {
        "us": Record([{"chord": 0.1, "wide chord": 1.2, "chord growth": 12.0}]),
        "them": Record([{"chord": 0.25}]),
        "callers": Record([{"drain rate": 9.0}]),
        "absent": Record([{"chord": 0.1}, {}], "it died"),
    }

    assert [*report.listing(records, report.CHORDS)][2:] == [
        "| us | 100.0 | 1,200.0 | 12.0 |",
        "| them | 250.0 (2.50) | \N{EN DASH} | \N{EN DASH} |",
        "| callers | \N{EN DASH} | \N{EN DASH} | \N{EN DASH} |",
        "| absent | not run: it died | \N{EN DASH} | \N{EN DASH} |",
    ]


def test_a_table_without_figures_is_left_out() -> None:
    records = {"us": Record([{"chord": 0.1}]), "callers": Record([{}])}

    lines = [*report.tables(records)]

    assert [line for line in lines if "median" in line] == [lines[1]]
    assert lines[3].startswith("| us | 100.0 |")


def test_a_rival_that_needs_a_newer_python_is_unable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals, "seated", lambda contestant, python: contestant)
    late = replace(RIVALS[0], oldest=(9, 9))

    ours, theirs = rivals.seated_on_one([AIOQUEUE, late], sys.executable)

    assert (ours, theirs.unable) == (AIOQUEUE, "it needs Python 9.9; --python PATH")


@pytest.mark.parametrize("rival", RIVALS, ids=lambda rival: rival.name)
def test_every_package_of_a_rival_is_pinned(rival: Contestant) -> None:
    pins = (PINS / f"{rival.name}.txt").read_text().split()

    assert set(rival.packages.split()) <= {pin.partition("==")[0] for pin in pins if "==" in pin}


def test_a_summary_has_ratios_to_every_other_system() -> None:
    records = {
        "us": Record([{"drain rate": 300.0, "latency p50": 0.5}, {"drain rate": 100.0, "latency p50": 0.5}]),
        "them": Record([{"drain rate": 100.0, "latency p50": 2.0}]),
        "absent": Record([{}], "it died"),
    }

    told = results.summary(records, {"machine": "a machine"})

    assert told["ratios"] == {"drain_vs_them": 2.0, "latency_p50_vs_them": 0.25}
    assert (told["machine"], told["systems"]["absent"]["not_run"]) == ("a machine", "it died")

"""The benchmark measures what ran, once each, with the right result; how fast is nobody's test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from benchmarks import report, server
from benchmarks.contestants import AIOQUEUE, RIVALS, Contestant
from benchmarks.marks import VARIABLE, Marks, ran
from benchmarks.processes import BenchmarkError
from benchmarks.rounds import Run, Sizes, drain, rounds
from benchmarks.systems import Sent
from benchmarks.workloads import WrongResultError, latency

FEW = Sizes(drain=200, latency=10, crowd=100)
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


class Silence:
    """A line on which nobody speaks."""

    def say(self, **figures: float) -> None: ...

    async def hear(self) -> list[int]:
        return []


def test_a_round_measures_every_row_of_the_table(tmp_path: Path) -> None:
    figures = rounds([AIOQUEUE], fresh_files(tmp_path), sizes=FEW, count=1)

    assert [set(figures) for figures in figures["aioqueue"]] == [{row.figure for row in report.ROWS}]


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


async def test_a_wrong_result_ends_the_run() -> None:
    with pytest.raises(WrongResultError, match="task 0 returned 1"):
        await latency(Liar(), 1, Silence())


def test_lost_and_doubled_tasks_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = Marks(tmp_path / "marks", 4)
    monkeypatch.setenv(VARIABLE, str(marks.path))
    for number in (2, 0, 0, 3):
        ran(number)

    assert (marks.runs, marks.latest(2), marks.wrong()) == (4, [0, 3], [0, 1])


def test_the_table_shows_medians_and_ratios_to_the_first_system() -> None:
    row = report.Row("wait", "wait, ms", "less", 1e3, 1)
    ours, theirs = [0.004, 0.002, 0.1], [0.001, 0.002, 0.1]

    lines = list(
        report.table({"us": [{"wait": wait} for wait in ours], "them": [{"wait": t} for t in theirs]}, [row])
    )

    assert lines[-1] == "| wait, ms | less | 4.0 | 2.0 (0.50) |"


@pytest.mark.parametrize("rival", RIVALS, ids=lambda rival: rival.name)
def test_every_package_of_a_rival_is_pinned(rival: Contestant) -> None:
    pins = (PINS / f"{rival.name}.txt").read_text().split()

    assert set(rival.packages.split()) <= {pin.partition("==")[0] for pin in pins if "==" in pin}

"""The benchmark measures what ran, once each, with the right result; how fast is nobody's test."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from benchmarks import __main__ as profiles
from benchmarks import environments, report, results, rows, runs, server
from benchmarks.beside import drain, lateness
from benchmarks.contestants import AIOQUEUE, RIVALS, SQLITE, Contestant
from benchmarks.marks import VARIABLE, Marks, marks, ran
from benchmarks.processes import BenchmarkError, LossError, Process
from benchmarks.rounds import TRIES, WORKLOADS, rounds
from benchmarks.runs import Record, Run, Sizes
from benchmarks.systems import Sent, WrongResultError
from benchmarks.workloads import Workload, chord, latency

FEW = Sizes(
    drain=200, send=20, latency=10, crowd=100, trickle=3, chord=10, sleep=100, due=20, spread=10, memory=20,
    scale=200, waiters=100, backlog=200, million=200, idle=1,
)  # fmt: skip
PINS = Path(report.__file__).parent / "rivals"


def fresh_files(folder: Path) -> Callable[[Contestant], str]:
    numbers = itertools.count()
    return lambda _: f"sqlite:///{folder}/{next(numbers)}.db"


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

    async def send_naps(self, numbers: Sequence[int]) -> list[Sent]:
        return await self.send_many(numbers)

    async def send_at(self, calls: Sequence[tuple[int, float]]) -> None: ...

    async def chord(self, numbers: range) -> int:
        return sum(numbers) + 1


class Silence:
    """A line on which nobody speaks."""

    def say(self, **figures: float) -> None: ...

    async def hear(self) -> list[int]:
        return []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_rounds_measure_every_row_of_the_tables(tmp_path: Path) -> None:
    program = server.binary()
    assert program is not None
    with server.redis_server(program, tmp_path) as url:

        def store(contestant: Contestant) -> str:
            server.empty(url)
            return url

        records = rounds([AIOQUEUE], store, sizes=FEW, count=1)

    shown = {row.figure for row in (*rows.CALLS, *rows.TIMES, *rows.CHORDS, *rows.OWN)}
    (figures,) = records["aioqueue"].rounds
    assert shown - set(figures) == set()
    assert not records["aioqueue"].lost
    assert not records["aioqueue"].failed


def test_every_workload_that_a_system_takes_is_there() -> None:
    taken = {workload for one in (AIOQUEUE, SQLITE, *RIVALS) for workload in one.takes}

    assert taken == set(WORKLOADS)


def test_only_the_workloads_that_are_wanted_and_that_a_system_takes_are_run(tmp_path: Path) -> None:
    callers = replace(AIOQUEUE, name="callers", takes=frozenset({"latency"}))

    records = rounds([SQLITE, callers], fresh_files(tmp_path), sizes=FEW, count=1, workloads=["drain"])

    assert set(records["on SQLite"].rounds[0]) == {"send rate", "send cpu", "drain rate", "drain cpu"}
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

    with pytest.raises(BenchmarkError, match="the worker died; tasks that had not run: 200"):
        drain(Run(dying, f"sqlite:///{tmp_path}/a.db", tmp_path), FEW)
    assert "unwell" in capsys.readouterr().out


def test_a_rival_that_cannot_run_is_shown_with_the_reason(tmp_path: Path) -> None:
    nobody = replace(AIOQUEUE, name="nobody", takes=frozenset({"drain"}))
    absent = replace(AIOQUEUE, name="absent", unable="it cannot be installed here")

    records = rounds(
        [nobody, absent], fresh_files(tmp_path), sizes=FEW, count=3, workloads=["drain", "chord"]
    )

    assert "No module named 'benchmarks.systems.nobody'" in records["nobody"].failed["drain"][0]
    assert len(records["nobody"].failed["drain"]) == TRIES
    assert (records["absent"].rounds, records["absent"].reason) == ([{}, {}, {}], absent.unable)


def test_a_rival_that_loses_tasks_is_shown_and_that_round_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = iter([9.0, None, 7.0])

    def losing(run: Run, sizes: Sizes) -> dict[str, float]:
        rate = next(rates)
        if rate is None:
            raise LossError("tasks that ran more than once: 3")
        return {"drain rate": rate}

    monkeypatch.setitem(WORKLOADS, "drain", losing)
    records = rounds([RIVALS[0]], fresh_files(tmp_path), sizes=FEW, count=3, workloads=["drain"])

    assert records["ardiq"].rounds == [{"drain rate": 9.0}, {}, {"drain rate": 7.0}]
    assert [*report.uncounted(records)][2:] == [
        "| ardiq | drain | 1 of 3 rounds: tasks that ran more than once: 3 |"
    ]
    assert results.summary(records, {})["systems"]["ardiq"]["not_counted"] == {
        "drain": ["tasks that ran more than once: 3"]
    }


def test_tasks_that_never_run_are_told_as_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "STALL", 0.05)
    asleep = replace(AIOQUEUE, worker="-m benchmarks.systems.bare")
    run = Run(asleep, "memory://", tmp_path)

    with marks(tmp_path, 3) as seen, run.worker(seen) as worker:
        with pytest.raises(LossError, match="tasks that were lost: 3"):
            run.await_all(seen, worker)


def test_how_late_tasks_began_is_told_by_their_own_moments() -> None:
    late = lateness([10.0, 12.5, 14.0], first=10.0, step=2.0)

    assert (late["p50"], late["least"]) == (0.0, 0.0)
    assert late["p99"] == pytest.approx(0.49)


def test_a_workload_of_minutes_is_run_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WORKLOADS, "million", lambda run, sizes: {"million rate": 1.0})

    records = rounds([AIOQUEUE], fresh_files(tmp_path), sizes=FEW, count=2, workloads=["million"])

    assert records["aioqueue"].rounds == [{"million rate": 1.0}, {}]


@pytest.mark.parametrize(
    ("workload", "told"), [(latency, "task 0 returned 1"), (chord, "the chord of 100 returned 4951")]
)
async def test_a_wrong_result_ends_the_run(workload: Workload, told: str) -> None:
    with pytest.raises(WrongResultError, match=told):
        await workload(Liar(), 1, Silence())


@pytest.mark.parametrize(
    ("words", "who", "what", "tasks"),
    [
        ([], "aioqueue limit on SQLite ardiq taskiq saq", "drain send latency sleep", 8_000),
        (["--quick"], "aioqueue limit on SQLite ardiq taskiq saq", "drain send latency sleep", 2_000),
        (["--only", "chord"], "aioqueue celery dramatiq huey streaq", "chord", 20_000),
        (
            ["--full"],
            "aioqueue limit on SQLite ardiq taskiq saq celery dramatiq huey streaq",
            " ".join(WORKLOADS),
            20_000,
        ),
        (["--alone"], "aioqueue limit on SQLite", "drain send latency sleep", 8_000),
    ],
)
def test_a_profile_has_its_systems_workloads_and_sizes(
    words: list[str], who: str, what: str, tasks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *words])
    monkeypatch.setattr(profiles, "seated_on_one", lambda contestants, python: contestants)

    options = profiles.parsed()

    assert " ".join(one.name for one in profiles.contestants(options)) == who
    assert " ".join(profiles.workloads(options)) == what
    assert profiles.sizes(options).drain == tasks


def test_lost_and_doubled_tasks_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Marks(tmp_path / "marks", 4)
    monkeypatch.setenv(VARIABLE, str(seen.path))
    for number in (2, 0, 0, 3):
        ran(number)

    assert (seen.activity, seen.latest(2), seen.lost(), seen.repeated()) == (4.0, [0, 3], 1, 1)
    assert (seen.all_ran(1), seen.all_ran()) == (True, False)
    with pytest.raises(LossError, match="tasks that were lost: 1"):
        Run(AIOQUEUE, "memory://", tmp_path).require_once_each(seen)
    ran(1)
    with pytest.raises(LossError, match="tasks that ran more than once: 1"):
        Run(AIOQUEUE, "memory://", tmp_path).require_once_each(seen)


def test_a_wrong_result_that_a_client_tells_of_is_a_loss() -> None:
    argv = [sys.executable, "-c", """print('{"wrong": "task 3 returned 4"}')"""]

    with Process.started(argv, {}) as client, pytest.raises(LossError, match="task 3 returned 4"):
        client.read()


def test_the_table_shows_medians_and_ratios_to_the_first_system() -> None:
    row = rows.Row("wait", "wait, ms", "less", 1e3, 1)
    ours, theirs = [0.004, 0.002, 0.1], [0.001, 0.002, 0.1]

    records = {
        "us": Record([{"wait": wait} for wait in ours]),
        "them": Record([{"wait": wait} for wait in theirs]),
    }

    assert [*report.table(records, [row])][-1] == "| wait, ms | less | 4.0 | 2.0 (0.50) |"


def test_the_list_of_chords_leaves_out_who_has_none_and_shows_who_was_not_run() -> None:
    records = {
        "us": Record([{"chord": 0.1, "wide chord": 1.2, "chord growth": 12.0}]),
        "them": Record([{"chord": 0.25}]),
        "callers": Record([{"drain rate": 9.0}]),
        "absent": Record([{"chord": 0.1}, {}], "it died"),
    }

    assert [*report.listing(records, rows.CHORDS)][2:] == [
        "| us | 100.0 | 1,200.0 | 12.0 |",
        "| them | 250.0 (2.50) | \N{EN DASH} | \N{EN DASH} |",
        "| absent | not run: it died | \N{EN DASH} | \N{EN DASH} |",
    ]


def test_a_table_without_figures_is_left_out() -> None:
    records = {"us": Record([{"chord": 0.1}]), "callers": Record([{}])}

    lines = [*report.tables(records)]

    assert [line for line in lines if "median" in line] == [lines[1]]
    assert lines[3].startswith("| us | 100.0 |")


def test_a_rival_that_needs_a_newer_python_is_unable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "seated", lambda contestant, python: contestant)
    late = replace(RIVALS[0], oldest=(9, 9))

    ours, theirs = environments.seated_on_one([AIOQUEUE, late], sys.executable)

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

"""Rounds: each workload is run for one contestant after the other, again and again.

The contestants take turns within a round, so that whatever else the machine does meets all of them.
A run in which a task is lost, doubled or wrong gives no figures but an error: aioqueue's ends all
rounds, a rival's ends them for that rival.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks import server
from benchmarks.contestants import AIOQUEUE, Contestant
from benchmarks.marks import VARIABLE, Marks, marks
from benchmarks.processes import DEADLINE, BenchmarkError, Process
from benchmarks.workloads import WARM_UP, chord_tasks

Figures = dict[str, float]
"""What was measured, by name; ``report`` knows the names."""

LAST: Final = 200
"""How many of the tasks that ran last must be in the sender's hands for a drain to be over."""

WIDER: Final = 10
"""How many times the tasks of a chord a wide one has."""

_POLL: Final = 0.002
_TAIL: Final = 4_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many tasks each workload has."""

    drain: int = 20_000
    send: int = 2_000
    latency: int = 1_000
    crowd: int = 5_000
    trickle: int = 100
    chord: int = 1_000

    def __str__(self) -> str:
        return (
            f"{self.drain:,} in bulk, {self.latency:,} one at a time, {self.crowd:,} of many senders,"
            f" {self.chord:,} a chord"
        )


@dataclass(slots=True)
class Record:
    """What came of a contestant: the figures of each round, or why there are none."""

    rounds: list[Figures] = field(default_factory=list)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One contestant, its store's URL, and the folder for the marks."""

    contestant: Contestant
    store: str
    folder: Path

    @contextmanager
    def worker(self, seen: Marks) -> Iterator[Process]:
        argv = [self.contestant.python, *self.contestant.worker.split()]
        log = self.folder / "worker.log"
        with Process.started(argv, self._env(seen), log=log) as process:
            try:
                yield process
            except BenchmarkError:
                print(f"the worker of {self.contestant.name} wrote:\n{log.read_text()[-_TAIL:]}", flush=True)
                raise

    @contextmanager
    def client(self, workload: str, count: int, seen: Marks) -> Iterator[Process]:
        name = self.contestant.name
        argv = [self.contestant.python, "-m", "benchmarks.client", name, workload, str(count)]
        with Process.started(argv, self._env(seen)) as process:
            yield process

    def _env(self, seen: Marks) -> dict[str, str]:
        return {"BENCH_STORE": self.store, VARIABLE: str(seen.path)}


def drain(run: Run, sizes: Sizes) -> Figures:
    """Send in bulk; then start a worker, and time from its first task to the last result fetched."""
    count = sizes.drain
    with marks(run.folder, count) as seen, run.client("drain", count, seen) as client:
        sent = client.read()
        with run.worker(seen) as worker:
            _await_runs(seen, 1, worker)
            cpu, began = worker.cpu(), server.spent(run.store)
            _await_runs(seen, count, worker)
            client.write(seen.latest(LAST))
            client.read()
            ended, cpu, spent = time.monotonic(), worker.cpu() - cpu, server.spent(run.store)
            client.read()
        _require_once_each(run, seen)
        store = {f"drain store {kind}": (spent[kind] - began[kind]) / count for kind in spent}
        return {
            "send rate": count / sent["wall"],
            "send cpu": sent["cpu"] / count,
            "drain rate": count / (ended - seen.first),
            "drain cpu": cpu / count,
            **store,
        }


def latency(run: Run, sizes: Sizes) -> Figures:
    """Time calls from their sending to their result, one after the other, with an idle worker."""
    told = _live(run, "latency", sizes.latency, WARM_UP + sizes.latency)
    return {"latency p50": told["p50"], "latency p99": told["p99"]}


def send(run: Run, sizes: Sizes) -> Figures:
    """Time senders that await nothing but that what they send is accepted, while nobody works."""
    with marks(run.folder, 1) as seen, run.client("send", sizes.send, seen) as client:
        told = client.read()
    return {"one sender rate": told["one"], "senders rate": told["many"], "senders cpu": told["cpu"]}


def trickle(run: Run, sizes: Sizes) -> Figures:
    """Time calls that come now and then, with an idle worker."""
    told = _live(run, "trickle", sizes.trickle, WARM_UP + sizes.trickle)
    return {"trickle p50": told["p50"]}


def crowd(run: Run, sizes: Sizes) -> Figures:
    """Let many senders of one process await their results at the same time."""
    told = _live(run, "crowd", sizes.crowd, WARM_UP + sizes.crowd)
    return {"crowd rate": sizes.crowd / told["wall"]}


def chord(run: Run, sizes: Sizes) -> Figures:
    """Time chords from their sending to their callback's result; wide ones too where those are wanted."""
    time_of = _chord(run, sizes.chord)
    if not run.contestant.wide:
        return {"chord": time_of}
    wide = _chord(run, WIDER * sizes.chord)
    return {"chord": time_of, "wide chord": wide, "chord growth": wide / time_of}


WORKLOADS: Final[dict[str, Callable[[Run, Sizes], Figures]]] = {
    "drain": drain,
    "send": send,
    "latency": latency,
    "crowd": crowd,
    "trickle": trickle,
    "chord": chord,
}


def rounds(
    contestants: Sequence[Contestant],
    store: Callable[[], str],
    *,
    sizes: Sizes,
    count: int,
    workloads: Collection[str] = tuple(WORKLOADS),
) -> dict[str, Record]:
    """Return the record of each contestant. store: gives the URL of an empty store.

    Raises BenchmarkError where aioqueue gives no figures.
    """
    records = {contestant.name: Record(reason=contestant.unable) for contestant in contestants}
    with TemporaryDirectory() as folder:
        for number in range(count):
            print(f"round {number + 1} of {count}", flush=True)
            for record in records.values():
                record.rounds.append({})
            for workload in workloads:
                for contestant in contestants:
                    record = records[contestant.name]
                    if workload in contestant.takes and not record.reason:
                        _measure(record, workload, Run(contestant, store(), Path(folder)), sizes)
    return records


def _measure(record: Record, workload: str, run: Run, sizes: Sizes) -> None:
    """Add a workload's figures to *record*, or the reason of a rival that gives none."""
    try:
        record.rounds[-1].update(WORKLOADS[workload](run, sizes))
    except BenchmarkError as exc:
        if run.contestant.name == AIOQUEUE.name:
            raise
        record.reason = f"{workload}: {exc}"
        print(f"{run.contestant.name} is run no further: {record.reason}", flush=True)


def _chord(run: Run, count: int) -> float:
    return _live(run, "chord", count, chord_tasks(count))["wall"]


def _live(run: Run, workload: str, count: int, tasks: int) -> Figures:
    """Run *workload* with a worker that is there from the start. tasks: how many of them must run."""
    with marks(run.folder, tasks) as seen, run.worker(seen):
        with run.client(workload, count, seen) as client:
            told = client.read()
        _require_once_each(run, seen)
        return told


def _await_runs(seen: Marks, count: int, worker: Process) -> None:
    """Wait until so many tasks have run. Memory that is shared rings no bell, so it is looked at."""
    until = time.monotonic() + DEADLINE
    while seen.runs < count:
        if not worker.alive or time.monotonic() > until:
            raise BenchmarkError(f"{seen.runs} of {count} tasks ran; worker alive: {worker.alive}")
        time.sleep(_POLL)


def _require_once_each(run: Run, seen: Marks) -> None:
    if wrong := seen.wrong():
        raise BenchmarkError(f"{run.contestant.name}: {len(wrong)} tasks did not run once, first {wrong[0]}")

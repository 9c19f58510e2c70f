"""Runs: one workload for one contestant: its processes, its sizes, and what must be true of it in the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.contestants import Contestant
from benchmarks.marks import VARIABLE, Marks, marks
from benchmarks.processes import BenchmarkError, LossError, Process
from benchmarks.systems import CALLS_AS

Figures = dict[str, float]
"""What was measured, by name; ``rows`` knows the names."""

STALL: Final = 60.0
"""Seconds without any run of a task after which what has not run counts as lost."""

POLL: Final = 0.002
"""Seconds between two looks at the marks; memory that is shared rings no bell."""

_TAIL: Final = 4_000
_LINES: Final = 4


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many tasks each workload has. idle: seconds for which an idle worker is watched."""

    drain: int = 20_000
    send: int = 2_000
    latency: int = 1_000
    crowd: int = 5_000
    trickle: int = 100
    chord: int = 1_000
    sleep: int = 5_000
    due: int = 10_000
    spread: int = 100
    memory: int = 10_000
    scale: int = 40_000
    waiters: int = 10_000
    backlog: int = 200_000
    million: int = 1_000_000
    idle: int = 10

    def __str__(self) -> str:
        return (
            f"{self.drain:,} in bulk, {self.latency:,} one at a time, {self.crowd:,} of many senders,"
            f" {self.chord:,} a chord, {self.due:,} due at once"
        )


@dataclass(slots=True)
class Record:
    """What came of a contestant: the figures of each round, or why there are none.

    reason: why it was not run at all. failed: why a workload gave no figures in a round, once for each.
    lost: what it lost or repeated in a workload, once for each round that therefore does not count.
    """

    rounds: list[Figures] = field(default_factory=list[Figures])
    reason: str = ""
    failed: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    lost: dict[str, list[str]] = field(default_factory=dict[str, list[str]])


@dataclass(frozen=True, slots=True)
class Run:
    """One contestant, its store's URL, and the folder for the marks."""

    contestant: Contestant
    store: str
    folder: Path

    @contextmanager
    def worker(self, seen: Marks, *flags: str, helped: bool = False) -> Iterator[Process]:
        """Run the worker, and where *helped* what sends it the tasks that are due later."""
        who = self.contestant
        with ExitStack() as stack:
            log = self.folder / "worker.log"
            argv = [who.python, *who.worker.split(), *flags]
            process = stack.enter_context(Process.started(argv, self._env(seen), log=log))
            if helped and who.helper:
                argv = [who.python, *who.helper.split()]
                stack.enter_context(Process.started(argv, self._env(seen), log=self.folder / "helper.log"))
            try:
                yield process
            except BenchmarkError:
                print(f"the worker of {who.name} wrote:\n{log.read_text()[-_TAIL:]}", flush=True)
                raise

    @contextmanager
    def client(self, workload: str, count: int, seen: Marks, *, calls: str = "noop") -> Iterator[Process]:
        """Run the client. calls: what aioqueue's are, see ``systems.CALLS_AS``."""
        who = self.contestant
        argv = [who.python, "-m", "benchmarks.client", who.module or who.name, workload, str(count)]
        errors = self.folder / "client.log"
        with Process.started(argv, {**self._env(seen), CALLS_AS: calls}, errors=errors) as process:
            try:
                yield process
            except BenchmarkError as exc:
                if (
                    isinstance(exc, LossError)
                    or process.alive
                    or not (lines := errors.read_text().split("\n")[-_LINES:])
                ):
                    raise
                print("the client wrote:", *lines, sep="\n", flush=True)
                raise BenchmarkError(f"the client failed: {lines[-2] if lines[1:] else exc}") from exc

    def fill(self, count: int, seen: Marks, *, calls: str = "noop") -> Figures:
        """Send *count* tasks in bulk, by a client that ends then; return what it told."""
        with self.client("fill", count, seen, calls=calls) as client:
            told = client.read()
            client.await_end()
            return told

    def live(self, workload: str, count: int, tasks: int) -> Figures:
        """Run *workload* with a worker that is there from the start. tasks: how many of them must run."""
        with marks(self.folder, tasks) as seen, self.worker(seen):
            with self.client(workload, count, seen) as client:
                told = client.read()
            self.require_once_each(seen)
            return told

    def await_all(self, seen: Marks, worker: Process, count: int | None = None) -> None:
        """Wait until the first *count* tasks have run, all unless told."""
        _await(lambda: seen.all_ran(count), seen, worker)

    def await_some(self, seen: Marks, worker: Process, count: int = 1) -> None:
        """Wait until any *count* tasks have run, or some more where several processes mark."""
        _await(lambda: seen.activity >= count or seen.all_ran(), seen, worker)

    def require_once_each(self, seen: Marks) -> None:
        """Raise LossError unless each task ran, and ran once."""
        if lost := seen.lost():
            raise LossError(f"tasks that were lost: {lost:,}")
        if repeated := seen.repeated():
            raise LossError(f"tasks that ran more than once: {repeated:,}")

    def _env(self, seen: Marks) -> dict[str, str]:
        return {"BENCH_STORE": self.store, VARIABLE: str(seen.path)}


def _await(there: Callable[[], bool], seen: Marks, worker: Process) -> None:
    activity, until = 0.0, time.monotonic() + STALL
    while not there():
        if not worker.alive:
            raise BenchmarkError(f"the worker died; tasks that had not run: {seen.lost():,}")
        if seen.activity > activity:
            activity, until = seen.activity, time.monotonic() + STALL
        if time.monotonic() > until:
            raise LossError(f"for {STALL:g} s no task ran; tasks that were lost: {seen.lost():,}")
        time.sleep(POLL)

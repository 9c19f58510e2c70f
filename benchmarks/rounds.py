"""Rounds: each workload is run for one contestant after the other, again and again.

The contestants take turns within a round, so that whatever else the machine does meets all of them. Where a
rival loses or repeats tasks, that round's figures do not count; where its run gives none twice, it is not run
by that workload again. aioqueue's ends all rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks import alone, beside
from benchmarks.contestants import Contestant
from benchmarks.processes import BenchmarkError, LossError
from benchmarks.runs import Figures, Record, Run, Sizes

WORKLOADS: Final[dict[str, Callable[[Run, Sizes], Figures]]] = {
    "drain": beside.drain,
    "send": beside.send,
    "latency": beside.latency,
    "crowd": beside.crowd,
    "trickle": beside.trickle,
    "sleep": beside.sleep,
    "due": beside.due,
    "spread": beside.spread,
    "chord": beside.chord,
    "memory": beside.memory,
    "idle": alone.idle,
    "waiters": alone.waiters,
    "scale": alone.scale,
    "kinds": alone.kinds,
    "payloads": alone.payloads,
    "backlog": alone.backlog,
    "million": alone.million,
}

ONCE: Final = frozenset({"million"})
"""Workloads of the first round alone, as they take minutes."""


TRIES: Final = 2
"""Rounds in which a workload gives no figures after which a rival is not run by it again."""


def rounds(
    contestants: Sequence[Contestant],
    store: Callable[[Contestant], str],
    *,
    sizes: Sizes,
    count: int,
    workloads: Collection[str] = tuple(WORKLOADS),
) -> dict[str, Record]:
    """Return the record of each contestant. store: gives the URL of an empty store for one.

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
                    failed = len(record.failed.get(workload, ())) >= TRIES
                    over = record.reason or failed or (number and workload in ONCE)
                    if workload in contestant.takes and not over:
                        _measure(record, workload, Run(contestant, store(contestant), Path(folder)), sizes)
    return records


def _measure(record: Record, workload: str, run: Run, sizes: Sizes) -> None:
    """Add a workload's figures to *record*, or why a rival's do not count or are not there."""
    name = run.contestant.name
    try:
        record.rounds[-1].update(WORKLOADS[workload](run, sizes))
    except BenchmarkError as exc:
        if (run.contestant.module or name) == "aioqueue":
            raise
        if isinstance(exc, LossError):
            record.lost.setdefault(workload, []).append(str(exc))
            print(f"{name}, {workload}: not counted: {exc}", flush=True)
        else:
            record.failed.setdefault(workload, []).append(str(exc))
            print(f"{name}, {workload}: no figures: {exc}", flush=True)

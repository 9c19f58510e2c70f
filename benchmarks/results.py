"""Results: what a run of the benchmark came to, as JSON that a program can read.

A ratio is aioqueue's median to another system's, or to another of its own: where aioqueue is ahead, that of a
rate is above 1, that of a time or a cost below.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.contestants import SQLITE
from benchmarks.report import median
from benchmarks.runs import Record

LATEST: Final = Path(__file__).with_name("results") / "latest.json"

_RATIOS: Final = {
    "drain": "drain rate",
    "drain_cpu": "drain cpu",
    "bulk": "send rate",
    "bulk_cpu": "send cpu",
    "send_one": "one sender rate",
    "senders": "senders rate",
    "latency_p50": "latency p50",
    "latency_p99": "latency p99",
    "crowd": "crowd rate",
    "trickle_p50": "trickle p50",
    "sleep": "sleep",
    "due_p50": "due p50",
    "due_p99": "due p99",
    "spread_p50": "spread p50",
    "spread_p99": "spread p99",
    "chord": "chord",
    "queued_bytes": "queued bytes",
    "stored_bytes": "stored bytes",
    "spawn": "spawn",
    "idle_commands": "idle commands",
    "idle_cpu": "idle cpu",
    "idle_rss": "idle rss",
}
"""Figures by the name of their ratio, ``<name>_vs_<system>``."""

_OWN: Final = {
    "spawn_vs_bare": ("spawn", "bare spawn"),
    "idle_rss_vs_bare": ("idle rss", "bare rss"),
    "import_vs_bare": ("import", "bare import"),
    "processes_2_vs_1": ("processes 2 rate", "processes 1 rate"),
    "processes_4_vs_1": ("processes 4 rate", "processes 1 rate"),
    "no_result_vs_usual": ("no result rate", "processes 1 rate"),
    "early_vs_usual": ("early rate", "processes 1 rate"),
    "asyncio_vs_uvloop": ("asyncio rate", "processes 1 rate"),
    "send_one_vs_script": ("one sender rate", "script rate"),
    "queues_cpu_vs_one": ("queues cpu", "processes 1 cpu"),
    "history_cpu_vs_short": ("history cpu", "processes 1 cpu"),
    "backlog_cpu_vs_short": ("backlog cpu", "processes 1 cpu"),
    "million_cpu_vs_short": ("million cpu", "processes 1 cpu"),
}
"""aioqueue's figures to other figures of its own, by the name of the ratio."""


def summary(records: Mapping[str, Record], about: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that came of a run. about: the machine, versions, and how it was run."""
    medians = {name: _medians(record) for name, record in records.items()}
    first, *others = medians
    ours = medians[first]
    ratios = {
        f"{ratio}_vs_{name.replace(' ', '_')}": round(ours[figure] / medians[name][figure], 3)
        for name in others
        if name != SQLITE.name
        for ratio, figure in _RATIOS.items()
        if ours.get(figure) and medians[name].get(figure)
    }
    ratios |= {
        ratio: round(ours[figure] / ours[other], 3)
        for ratio, (figure, other) in _OWN.items()
        if ours.get(figure) and ours.get(other)
    }
    on_file = medians.get(SQLITE.name, {})
    ratios |= {
        f"sqlite_{ratio}_vs_redis": round(on_file[figure] / ours[figure], 3)
        for ratio, figure in _RATIOS.items()
        if on_file.get(figure) and ours.get(figure)
    }
    systems = {
        name: {
            "median": medians[name],
            "rounds": record.rounds,
            "not_run": record.reason,
            "no_figures": record.failed,
            "not_counted": record.lost,
        }
        for name, record in records.items()
    }
    return {**about, "ratios": ratios, "systems": systems}


def records(summary: Mapping[str, Any]) -> dict[str, Record]:
    """Return the records that a summary was made of."""
    return {
        name: Record(told["rounds"], told["not_run"], told["no_figures"], told["not_counted"])
        for name, told in summary["systems"].items()
    }


def write(summary: Mapping[str, Any], path: Path = LATEST) -> None:
    """Write a summary where the last one stands."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(summary, indent=2) + "\n")


def _medians(record: Record) -> dict[str, float]:
    figures = {figure for each in record.rounds for figure in each}
    # a system that was not run has none, whatever it came to before
    found = {figure: median(record, figure) for figure in sorted(figures)}
    return {figure: value for figure, value in found.items() if value is not None}

"""Results: what a run of the benchmark came to, as JSON that a program can read.

A ratio is aioqueue's median to another system's: where aioqueue is ahead, that of a rate is above 1, that of
a time or a cost below.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.rounds import Record

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
    "chord": "chord",
}
"""Figures by the name of their ratio, ``<name>_vs_<system>``."""


def summary(records: Mapping[str, Record], about: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that came of a run. about: the machine, versions, and how it was run."""
    medians = {name: _medians(record) for name, record in records.items()}
    ours = medians[next(iter(records))]
    ratios = {
        f"{ratio}_vs_{name}": round(ours[figure] / theirs[figure], 3)
        for name, theirs in list(medians.items())[1:]
        for ratio, figure in _RATIOS.items()
        if ours.get(figure) and theirs.get(figure)
    }
    systems = {
        name: {"median": medians[name], "rounds": record.rounds, "not_run": record.reason}
        for name, record in records.items()
    }
    return {**about, "ratios": ratios, "systems": systems}


def write(summary: Mapping[str, Any], path: Path = LATEST) -> None:
    """Write a summary where the last one stands."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(summary, indent=2) + "\n")


def _medians(record: Record) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for figures in record.rounds:
        for name, value in figures.items():
            found.setdefault(name, []).append(value)
    return {name: statistics.median(values) for name, values in found.items()}

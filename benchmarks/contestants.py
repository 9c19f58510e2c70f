"""Contestants: the systems that are measured, and the Python that each of them runs on."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final

from benchmarks.systems import CONCURRENCY


@dataclass(frozen=True, slots=True)
class Contestant:
    """A system.

    worker: arguments to Python that start its worker, as a shell would have them. packages:
    distributions whose versions are shown. python: the interpreter, of the system's own virtual
    environment where it has one. oldest: the Python it needs at least.
    """

    name: str
    worker: str
    packages: str
    python: str = sys.executable
    oldest: tuple[int, int] = (3, 11)


AIOQUEUE: Final = Contestant(
    "aioqueue",
    f"-m aioqueue worker benchmarks.systems.aioqueue:server --concurrency {CONCURRENCY} --log-level error",
    "aioqueue-tasks redis hiredis uvloop",
)
RIVALS: Final = (
    Contestant(
        "ardiq",
        "-m ardiq run benchmarks.systems.ardiq:app --quiet",
        "ardiq msgpack uvloop",
        oldest=(3, 12),
    ),
    Contestant(
        "taskiq",
        "-m taskiq worker benchmarks.systems.taskiq:broker --workers 1 --log-level WARNING"
        f" --max-async-tasks {CONCURRENCY} --max-prefetch {CONCURRENCY}",
        "taskiq taskiq-redis redis hiredis orjson uvloop",
    ),
)

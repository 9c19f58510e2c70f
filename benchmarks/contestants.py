"""Contestants: the systems that are measured, by which workloads, and the Python that each runs on."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final

from benchmarks.systems import CONCURRENCY, THREADS

CALLS: Final = frozenset({"drain", "send", "latency", "crowd", "trickle"})
"""Workloads of calls on their own."""

CHORDS: Final = frozenset({"chord"})
"""The workload of the systems that are here for their chords alone."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A system.

    worker: arguments to Python that start its worker, as a shell would have them. packages:
    distributions whose versions are shown. takes: workloads it takes part in. wide: whether it is
    measured by wide chords too. python: the interpreter, of the system's own virtual environment where
    it has one. oldest: the Python it needs at least. guest: it runs in aioqueue's environment. unable:
    why it cannot run here.
    """

    name: str
    worker: str
    packages: str
    takes: frozenset[str] = CALLS
    wide: bool = False
    python: str = sys.executable
    oldest: tuple[int, int] = (3, 11)
    guest: bool = False
    unable: str = ""


AIOQUEUE: Final = Contestant(
    "aioqueue",
    f"-m aioqueue worker benchmarks.systems.aioqueue:server --concurrency {CONCURRENCY} --log-level error",
    "aioqueue-tasks redis hiredis uvloop",
    CALLS | CHORDS,
    wide=True,
)
LIMIT: Final = Contestant("limit", "-m benchmarks.systems.limit", "redis hiredis uvloop", guest=True)
"""What redis-py and asyncio can do at best for the same promises; no rival."""

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
    Contestant(
        "saq",
        "-m saq benchmarks.systems.saq.settings --quiet",
        "saq redis hiredis uvloop",
    ),
    Contestant(
        "celery",
        f"-m celery -A benchmarks.systems.celery worker --pool threads --concurrency {CONCURRENCY}"
        " --without-gossip --without-mingle --without-heartbeat --loglevel WARNING",
        "celery kombu redis hiredis",
        CHORDS,
    ),
    Contestant(
        "dramatiq",
        f"-m dramatiq benchmarks.systems.dramatiq:broker --processes 1 --threads {THREADS}",
        "dramatiq redis hiredis",
        CHORDS,
    ),
    Contestant(
        "huey",
        "-m huey.bin.huey_consumer benchmarks.systems.huey.app --quiet"
        f" --worker-type thread --workers {THREADS}",
        "huey redis hiredis",
        CHORDS,
    ),
    Contestant(
        "streaq",
        "-m streaq run benchmarks.systems.streaq:worker",
        "streaq coredis anyio uvloop",
        CHORDS,
    ),
)

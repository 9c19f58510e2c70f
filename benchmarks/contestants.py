"""Contestants: the systems that are measured, by which workloads, and the Python that each runs on."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Final

from benchmarks.systems import CONCURRENCY, THREADS

LEAST: Final = frozenset({"drain", "send", "latency", "crowd", "trickle", "memory"})
"""Workloads of calls that are due at once."""

CALLS: Final = LEAST | {"sleep", "due", "idle"}
"""Workloads of calls on their own."""

CHORDS: Final = frozenset({"chord"})
"""The workload of the systems that are here for their chords alone."""

TIMED: Final = frozenset({"sleep", "due", "spread"})
"""Workloads of tasks that take or await their time."""

OWN: Final = frozenset({"waiters", "scale", "backlog", "million", "payloads", "kinds"})
"""Workloads of aioqueue alone."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A system.

    worker: arguments to Python that start its worker, as a shell would have them. packages:
    distributions whose versions are shown. takes: workloads it takes part in. own: whether it is
    measured by what the rivals are not. python: the interpreter, of the system's own virtual environment
    where it has one. oldest: the Python it needs at least. guest: it runs in aioqueue's environment. module:
    that of its tasks and client, of its own name unless told. helper: arguments to Python that start what
    sends the tasks that are due later, where the worker does not. database: it is measured on SQLite.
    unable: why it cannot run here.
    """

    name: str
    worker: str
    packages: str
    takes: frozenset[str] = CALLS
    own: bool = False
    python: str = sys.executable
    oldest: tuple[int, int] = (3, 11)
    guest: bool = False
    module: str = ""
    helper: str = ""
    database: bool = False
    unable: str = ""


AIOQUEUE: Final = Contestant(
    "aioqueue",
    f"-m aioqueue worker benchmarks.systems.aioqueue:server --concurrency {CONCURRENCY} --log-level error",
    "aioqueue-tasks redis hiredis uvloop",
    CALLS | CHORDS | TIMED | OWN,
    own=True,
)
LIMIT: Final = Contestant("limit", "-m benchmarks.systems.limit", "redis hiredis uvloop", LEAST, guest=True)
"""What redis-py and asyncio can do at best for the same promises; no rival."""

SQLITE: Final = replace(
    AIOQUEUE,
    name="on SQLite",
    packages="aioqueue-tasks uvloop",
    takes=frozenset({"drain", "send", "latency"}),
    own=False,
    guest=True,
    module="aioqueue",
    database=True,
)
"""aioqueue on a file instead of a server."""

RIVALS: Final = (
    Contestant(
        "ardiq",
        "-m ardiq run benchmarks.systems.ardiq:app --quiet",
        "ardiq msgpack uvloop",
        CALLS | TIMED,
        oldest=(3, 12),
    ),
    Contestant(
        "taskiq",
        "-m taskiq worker benchmarks.systems.taskiq:broker --workers 1 --log-level WARNING"
        f" --max-async-tasks {CONCURRENCY} --max-prefetch {CONCURRENCY}",
        "taskiq taskiq-redis redis hiredis orjson uvloop",
        CALLS | TIMED,
        helper="-m taskiq scheduler benchmarks.systems.taskiq:scheduler --update-interval 1"
        " --log-level WARNING",
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
        CHORDS | TIMED,
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
        CHORDS | TIMED | {"drain"},
    ),
)

SHORT: Final = frozenset({"limit", "on SQLite", "ardiq", "taskiq", "saq"})
"""Who is measured beside aioqueue unless all are."""

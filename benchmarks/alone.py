"""Workloads of aioqueue alone, and of a worker that has nothing to do.

A backlog is sent by a client that ends before the worker starts, and it is over when the last of it has
begun; its second half is what is timed, as all processes have started by then. All tasks must have run once
each.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from typing import Final

from benchmarks import server
from benchmarks.marks import marks
from benchmarks.processes import ROOT, Process
from benchmarks.runs import Figures, Run, Sizes
from benchmarks.workloads import WARM_UP

PROCESSES: Final = (1, 2, 4)
"""Worker processes that share a backlog."""

PAYLOADS: Final = {"100 B": (100, 1), "10 KiB": (10_240, 4), "500 KiB": (512_000, 50)}
"""Bytes of an argument, and how many times fewer tasks have it."""

QUEUES: Final = 100
"""Queues that are served where it is many."""

KINDS: Final = {
    "no result": ("forget", ()),
    "early": ("once", ()),
    "asyncio": ("noop", ("--loop", "asyncio")),
    "queues": (f"queues:{QUEUES}", ("--queue", ",".join(f"q{number}" for number in range(QUEUES)))),
}
"""What a backlog's calls are, and the worker's further arguments."""

IMPORTS: Final = 5
"""Imports that are timed, of which the median is told."""

_SETTLE: Final = 2.0
_EARLY: Final = 10
_TIMED: Final = "import time; began = time.perf_counter(); import {}; print(time.perf_counter() - began)"
_PLAIN: Final = "redis.asyncio, pydantic"


def scale(run: Run, sizes: Sizes) -> Figures:
    """Let one worker process, two, and four take a backlog."""
    found: Figures = {}
    for processes in PROCESSES:
        told = _backlog(run, sizes.scale, flags=("--processes", str(processes)))
        found |= {f"processes {processes} {name}": told[name] for name in ("rate", "cpu")}
    return found


def backlog(run: Run, sizes: Sizes) -> Figures:
    """Let a worker take a long backlog; see what it costs, and whether the worker grows.

    Then let another one take a short one, in a store that holds the results of the long one.
    """
    found = {f"backlog {name}": value for name, value in _backlog(run, sizes.backlog).items()}
    told = _backlog(run, sizes.scale)
    return {**found, "history rate": told["rate"], "history cpu": told["cpu"]}


def million(run: Run, sizes: Sizes) -> Figures:
    """The same with a very long one."""
    return {f"million {name}": value for name, value in _backlog(run, sizes.million).items()}


def payloads(run: Run, sizes: Sizes) -> Figures:
    """Let a worker take tasks with a small argument, a larger one, and a large one."""
    found: Figures = {}
    for title, (size, fewer) in PAYLOADS.items():
        told = _backlog(run, max(sizes.scale // fewer, 10), calls=f"carry:{size}")
        found |= {f"{title} {name}": told[name] for name in ("send rate", "rate", "cpu")}
    return found


def kinds(run: Run, sizes: Sizes) -> Figures:
    """Let a worker take tasks that promise less; one without uvloop, and one of many queues, usual ones."""
    found: Figures = {}
    for title, (calls, flags) in KINDS.items():
        told = _backlog(run, sizes.scale, calls=calls, flags=flags)
        found |= {f"{title} {name}": told[name] for name in ("rate", "cpu")}
    return found


def waiters(run: Run, sizes: Sizes) -> Figures:
    """Send in bulk with a worker at hand, and await all results at once."""
    return {"waiters": run.live("waiters", sizes.waiters, WARM_UP + sizes.waiters)["wall"]}


def idle(run: Run, sizes: Sizes) -> Figures:
    """Time a worker's start up to its first task, then see what it takes to wait for the next one."""
    with marks(run.folder, 1) as seen:
        run.fill(1, seen)
        began = time.monotonic()
        with run.worker(seen) as worker:
            run.await_all(seen, worker)
            spawn = seen.moments[0] - began
            time.sleep(_SETTLE)
            look = server.spent(run.store)
            before, cpu = server.spent(run.store), worker.cpu()
            time.sleep(sizes.idle)
            after, cpu = server.spent(run.store), worker.cpu() - cpu
            rss = worker.memory("VmRSS")
        run.require_once_each(seen)
    # a look is seen by the next one
    commands = after["commands"] - before["commands"] - (before["commands"] - look["commands"])
    figures = {"spawn": spawn, "idle rss": rss, "idle commands": commands / sizes.idle}
    figures["idle cpu"] = cpu / sizes.idle
    return figures | (_bare(run) if run.contestant.own else {})


def _backlog(run: Run, count: int, *, calls: str = "noop", flags: tuple[str, ...] = ()) -> Figures:
    with marks(run.folder, count) as seen:
        sent = run.fill(count, seen, calls=calls)
        with run.worker(seen, *flags) as worker:
            run.await_some(seen, worker, count // _EARLY)
            held = worker.memory("RssAnon")
            run.await_some(seen, worker, count // 2)
            cpu = worker.cpu()
            run.await_all(seen, worker)
            cpu, grown = worker.cpu() - cpu, worker.memory("RssAnon") - held
        run.require_once_each(seen)
        moments = sorted(seen.moments)
    later = count - count // 2
    return {
        "send rate": count / sent["wall"],
        "rate": later / (moments[-1] - moments[-later]),
        "cpu": cpu / later,
        "growth": grown,
    }


def _bare(run: Run) -> Figures:
    """Return the same of a process that only imports what a worker cannot do without."""
    python = run.contestant.python
    began = time.monotonic()
    with Process.started([python, "-m", "benchmarks.systems.bare"], {}) as process:
        process.read()
        spawn, rss = time.monotonic() - began, process.memory("VmRSS")
    return {
        "bare spawn": spawn,
        "bare rss": rss,
        "import": _imported(python, "aioqueue"),
        "bare import": _imported(python, _PLAIN),
    }


def _imported(python: str, what: str) -> float:
    argv = [python, "-c", _TIMED.format(what)]
    said = [
        subprocess.run(argv, capture_output=True, text=True, check=True, cwd=ROOT).stdout
        for _ in range(IMPORTS)
    ]
    return statistics.median(map(float, said))

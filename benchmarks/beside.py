"""Workloads that aioqueue is measured by beside its rivals, as the driver sees them.

``workloads`` has the client's side of each. What comes of one is a figure or some, by name.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from benchmarks import server
from benchmarks.marks import marks
from benchmarks.processes import BenchmarkError
from benchmarks.runs import Figures, Run, Sizes
from benchmarks.workloads import WARM_UP, chord_tasks

LAST: Final = 200
"""How many of the tasks that ran last must be in the sender's hands for a drain to be over."""

WIDER: Final = 10
"""How many times the tasks of a chord a wide one has."""


def drain(run: Run, sizes: Sizes) -> Figures:
    """Send in bulk; then start a worker, and time from its first task to the last result fetched."""
    count = sizes.drain
    spent = _drained(run, "drain", count)
    store = {f"drain {name}": value / count for name, value in spent.items() if name.startswith("store ")}
    return {
        "send rate": count / spent["send wall"],
        "send cpu": spent["send cpu"] / count,
        "drain rate": count / spent["wall"],
        "drain cpu": spent["cpu"] / count,
        **store,
    }


def sleep(run: Run, sizes: Sizes) -> Figures:
    """The same with tasks that sleep, as many at once as there are slots."""
    return {"sleep": _drained(run, "sleep", sizes.sleep)["wall"]}


def latency(run: Run, sizes: Sizes) -> Figures:
    """Time calls from their sending to their result, one after the other, with an idle worker."""
    told = run.live("latency", sizes.latency, WARM_UP + sizes.latency)
    return {"latency p50": told["p50"], "latency p99": told["p99"]}


def send(run: Run, sizes: Sizes) -> Figures:
    """Time senders that await nothing but that what they send is accepted, while nobody works."""
    told = _sent(run, sizes)
    figures = {"one sender rate": told["one"], "senders rate": told["many"], "senders cpu": told["cpu"]}
    if not run.contestant.own:
        return figures
    script = replace(run, contestant=replace(run.contestant, module="script"))
    return {**figures, "script rate": _sent(script, sizes)["one"]}


def trickle(run: Run, sizes: Sizes) -> Figures:
    """Time calls that come now and then, with an idle worker."""
    told = run.live("trickle", sizes.trickle, WARM_UP + sizes.trickle)
    return {"trickle p50": told["p50"]}


def crowd(run: Run, sizes: Sizes) -> Figures:
    """Let many senders of one process await their results at the same time."""
    told = run.live("crowd", sizes.crowd, WARM_UP + sizes.crowd)
    return {"crowd rate": sizes.crowd / told["wall"]}


def chord(run: Run, sizes: Sizes) -> Figures:
    """Time chords from their sending to their callback's result; wide ones too, if aioqueue's own."""
    time_of = _chord(run, sizes.chord)
    if not run.contestant.own:
        return {"chord": time_of}
    wide = _chord(run, WIDER * sizes.chord)
    return {"chord": time_of, "wide chord": wide, "chord growth": wide / time_of}


def due(run: Run, sizes: Sizes) -> Figures:
    """Send what is due at one moment, to an idle worker; see how late each starts."""
    return _late(run, "due", sizes.due)


def spread(run: Run, sizes: Sizes) -> Figures:
    """Send what is due one after the other, to an idle worker; see how late each starts."""
    return _late(run, "spread", sizes.spread)


def memory(run: Run, sizes: Sizes) -> Figures:
    """See what the server holds by what is queued, and by results that are small."""
    count = sizes.memory
    with marks(run.folder, 1) as seen:
        # scripts and names are no task's
        run.fill(1, seen)
        with run.worker(seen) as worker:
            run.await_all(seen, worker)
    empty = server.memory(run.store)
    with marks(run.folder, count) as seen:
        run.fill(count, seen)
        queued = server.memory(run.store)
        with run.worker(seen) as worker:
            run.await_all(seen, worker)
        # its worker has ended, and so has written what it had to
        stored = server.memory(run.store)
        run.require_once_each(seen)
    figures = {"queued bytes": (queued - empty) / count, "stored bytes": (stored - empty) / count}
    return figures | ({"untracked bytes": _untracked(run, count)} if run.contestant.own else {})


def lateness(moments: Sequence[float], first: float, step: float) -> Figures:
    """Return how late tasks began which were due at *first* and every *step* seconds from then on."""
    late = [moment - first - step * number for number, moment in enumerate(moments)]
    cuts = statistics.quantiles(late, n=100, method="inclusive")
    return {"p50": cuts[49], "p99": cuts[98], "least": min(late)}


def _sent(run: Run, sizes: Sizes) -> Figures:
    with marks(run.folder, 1) as seen, run.client("send", sizes.send, seen) as client:
        return client.read()


def _drained(run: Run, workload: str, count: int) -> Figures:
    """Return what it took: seconds, CPU of the worker, and what the sending and the store did."""
    with marks(run.folder, count) as seen, run.client(workload, count, seen) as client:
        sent = client.read()
        with run.worker(seen) as worker:
            run.await_some(seen, worker)
            cpu, began = worker.cpu(), server.spent(run.store)
            run.await_all(seen, worker)
            client.write(seen.latest(LAST))
            client.read()
            ended, cpu, spent = time.monotonic(), worker.cpu() - cpu, server.spent(run.store)
            client.read()
        run.require_once_each(seen)
        store = {f"store {kind}": spent[kind] - began[kind] for kind in spent}
        wall = ended - min(seen.moments)
        return {"send wall": sent["wall"], "send cpu": sent["cpu"], "wall": wall, "cpu": cpu, **store}


def _late(run: Run, workload: str, count: int) -> Figures:
    # the first is no more than the word that the worker is there
    with marks(run.folder, 1 + count) as seen, run.worker(seen, helped=True) as worker:
        with run.client(workload, count, seen) as client:
            run.await_all(seen, worker, 1)
            client.write([])
            told = client.read()
        run.await_all(seen, worker)
        run.require_once_each(seen)
        if told["sent"] > told["first"]:
            raise BenchmarkError("it was still sending when the first were due")
        # the marks are of another clock than what the client told
        first = told["first"] - (time.time() - time.monotonic())
        late = lateness(seen.moments[1:], first, told["step"])
    return {f"{workload} {name}": value for name, value in late.items()}


def _untracked(run: Run, count: int) -> float:
    """Return the bytes a queued task of which no result is kept."""
    empty = server.memory(run.store)
    with marks(run.folder, count) as seen:
        run.fill(count, seen, calls="forget")
        return (server.memory(run.store) - empty) / count


def _chord(run: Run, count: int) -> float:
    return run.live("chord", count, chord_tasks(count))["wall"]

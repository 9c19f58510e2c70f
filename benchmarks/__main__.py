"""Print the figures: ``python -m benchmarks [--tasks N] [--rounds N] [--broker URL]``.

Without --broker: a SQLite file in a temporary folder, a fresh one for each workload.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import sqlite3
import tempfile

from benchmarks.workloads import Figures, drain, latency


def show(figures: Figures) -> None:
    columns = "  ".join(f"{value:>9} {name}" for name, value in figures.columns.items())
    print(f"{figures.name:<42} {columns}", flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--tasks", type=int, default=20_000, help="tasks to drain")
    parser.add_argument("--rounds", type=int, default=500, help="round trips to time")
    parser.add_argument("--broker", help="URL of an empty store")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.machine()}")
    with tempfile.TemporaryDirectory() as folder:
        store = options.broker or f"sqlite:///{folder}/bench"
        for figures in await drain(store if options.broker else f"{store}-drain.db", tasks=options.tasks):
            show(figures)
        show(await latency(store if options.broker else f"{store}-latency.db", rounds=options.rounds))


if __name__ == "__main__":
    asyncio.run(main())

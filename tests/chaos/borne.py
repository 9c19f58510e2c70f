"""``python -m tests.chaos.borne NAME STORE FOLDER``: a scenario of workflows on one store.

It runs on the package that is found first, and ends with status 1 where a promise is broken, which it tells.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from aioqueue.errors import TaskError
from tests.chaos.crashes import MEMORY, ONE_REDIS, ONE_SQLITE, Pair, crash_everywhere
from tests.chaos.harvest import Harvest
from tests.chaos.lasting import brief_chord, late_member
from tests.chaos.orders import Orders, mixed
from tests.chaos.released import released_again
from tests.support.faulty import Faults

Scenario = Callable[[Pair, Path], Awaitable[None]]

STORES = {"memory": MEMORY, "sqlite": ONE_SQLITE, "redis": ONE_REDIS}


async def worker_dies(pair: Pair, folder: Path) -> None:
    """A worker dies at every moment."""
    await crash_everywhere(lambda faults: Harvest(pair, folder, seed=0).live(faults))


async def none_dies(pair: Pair, folder: Path) -> None:
    """The same work, done by workers that live."""
    await Harvest(pair, folder, seed=0).live(Faults())


async def sent_again(pair: Pair, folder: Path) -> None:
    """A sender dies at every moment, and the order is sent again."""
    order = mixed()
    await crash_everywhere(lambda faults: Orders(pair, folder, order, at_once=True).live(faults))


async def outlasted(pair: Pair, folder: Path) -> None:
    """A member outlasts the time of the results."""
    await brief_chord(pair, folder)


async def late(pair: Pair, folder: Path) -> None:
    """A member outlasts its group."""
    await late_member(pair, folder)


async def again(pair: Pair, folder: Path) -> None:
    """A range is released again."""
    await released_again(pair, folder)


SCENARIOS: dict[str, Scenario] = {
    "worker_dies": worker_dies,
    "none_dies": none_dies,
    "sent_again": sent_again,
    "outlasted": outlasted,
    "late": late,
    "again": again,
}


async def _main(name: str, store: str, folder: str) -> None:
    # what is logged of tasks that fail is no fault
    logging.disable()
    try:
        await SCENARIOS[name](STORES[store], Path(folder))
    except (AssertionError, TaskError) as exc:
        sys.exit(str(exc))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))

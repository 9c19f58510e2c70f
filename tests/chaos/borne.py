"""``python -m tests.chaos.borne NAME FOLDER``: a scenario of workflows, on the package that is found first.

It ends with status 1 and says which promise is broken.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from aioqueue.errors import TaskError
from tests.chaos.crashes import MEMORY, crash_everywhere
from tests.chaos.harvest import Harvest
from tests.chaos.lasting import brief_chord, late_member
from tests.chaos.orders import Orders, mixed


async def worker_dies(folder: Path) -> None:
    """A worker dies at every moment."""
    await crash_everywhere(lambda faults: Harvest(MEMORY, folder, seed=0).live(faults))


async def sent_again(folder: Path) -> None:
    """A sender dies at every moment, and the order is sent again."""
    order = mixed()
    await crash_everywhere(lambda faults: Orders(MEMORY, folder, order, at_once=True).live(faults))


async def outlasted(folder: Path) -> None:
    """A member outlasts the time of the results."""
    await brief_chord(MEMORY, folder)


async def late(folder: Path) -> None:
    """A member outlasts its group."""
    await late_member(MEMORY, folder)


SCENARIOS = {scenario.__name__: scenario for scenario in (worker_dies, sent_again, outlasted, late)}


async def _main(name: str, folder: str) -> None:
    # what is logged of tasks that fail is no fault
    logging.disable()
    try:
        await SCENARIOS[name](Path(folder))
    except (AssertionError, TaskError) as exc:
        sys.exit(str(exc))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))

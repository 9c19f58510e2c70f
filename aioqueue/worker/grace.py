"""Grace: how long a stop may still take. For ever, until one is asked for; then never longer than said.

One for a worker and its term: whoever waits for something that may not answer waits by it.
"""

from __future__ import annotations

import asyncio
from typing import Any


class Grace:
    """A deadline that can only come nearer. deadline: by the loop's clock; None while nobody asked."""

    def __init__(self) -> None:
        self.deadline: float | None = None
        self._asked = asyncio.Event()

    @property
    def over(self) -> bool:
        """True when a stop was asked for and its time is up."""
        return self.deadline is not None and asyncio.get_running_loop().time() >= self.deadline

    def ask(self, seconds: float) -> None:
        """Ask for a stop within *seconds*; a shorter time may follow."""
        deadline = asyncio.get_running_loop().time() + seconds
        self.deadline = deadline if self.deadline is None else min(self.deadline, deadline)
        self._asked.set()

    async def spares(self, task: asyncio.Future[Any], *, parting: float) -> bool:
        """Wait for *task*, *parting* seconds past the deadline at most; False if it is not done by then."""
        loop = asyncio.get_running_loop()
        while not task.done():
            left = None if self.deadline is None else self.deadline + parting - loop.time()
            if left is not None and left <= 0:
                return False
            self._asked.clear()
            asked = loop.create_task(self._asked.wait())
            try:
                await asyncio.wait([task, asked], timeout=left, return_when=asyncio.FIRST_COMPLETED)
            finally:
                asked.cancel()
        return True

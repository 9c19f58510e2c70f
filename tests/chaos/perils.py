"""The application of ``tests.chaos.app`` with a task in it that ends its process, whichever that is."""

from __future__ import annotations

import asyncio
import os

from tests.chaos.app import note, server

__all__ = ["poison", "server"]


@server.task
async def poison(n: int) -> None:
    """End this process without a word, once what was handed out in the same moment runs too."""
    note("begin", n)
    await asyncio.sleep(0.2)
    note("crash", n)
    os._exit(1)

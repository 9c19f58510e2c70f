"""The app that these tests run: copied into a test's folder, where its store lies too."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from datetime import date
from pathlib import Path

from aioqueue import Server

server = Server(f"sqlite:///{Path(__file__).with_name('tasks.db')}", sweep=0.2)
nothing = {"a": 1}


@server.task(name="sum")
async def total(numbers: list[int]) -> int:
    return sum(numbers)


@server.task
async def day_after(day: date, *, days: int = 1) -> date:
    return date.fromordinal(day.toordinal() + days)


@server.task
async def fail(message: str) -> None:
    raise ValueError(message)


@server.task
async def pid() -> int:
    return os.getpid()


@server.task
def meet(folder: str, count: int) -> int:
    """Return this process's id once *count* processes are here."""
    Path(folder, str(os.getpid())).touch()
    while len(os.listdir(folder)) < count:
        time.sleep(0.02)
    return os.getpid()


@server.task
async def nap(seconds: float) -> str:
    print("nap has begun", flush=True)
    await asyncio.sleep(seconds)
    return "rested"


@server.task
async def stubborn() -> None:
    print("stubborn has begun", flush=True)
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue


@server.task
def block(seconds: float) -> None:
    print("block has begun", flush=True)
    time.sleep(seconds)


@server.task
async def hang(seconds: float) -> None:
    """Stand in the way of the loop."""
    print("hang has begun", flush=True)
    time.sleep(seconds)  # noqa: ASYNC251 - that is the point


@server.task
async def until(file: str) -> str:
    """Run until *file* is there."""
    print("until has begun", flush=True)
    while not await asyncio.to_thread(Path(file).exists):  # noqa: ASYNC110 - it is another process that tells
        await asyncio.sleep(0.05)
    return "it is there"


@server.task
async def tell(words: str) -> None:
    """Log as a user's code does."""
    logging.getLogger("their.code").warning("they say %s", words)


def create() -> Server:
    return server

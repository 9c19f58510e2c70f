"""The application that is killed: each run of ``work`` leaves two lines outside the system.

HISTORY names a file; a line is one write to a file opened with O_APPEND, so that a killed
process leaves whole lines only.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from aioqueue import Server, Signature, current

server = Server()


def note(event: str, n: int) -> None:
    """Append one line: event, task, attempt, pid, Unix seconds."""
    line = f"{event} {n} {current().attempt} {os.getpid()} {time.time():.6f}\n"
    descriptor = os.open(os.environ["HISTORY"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


@server.task
async def block(n: int, seconds: float) -> int:
    note("begin", n)
    time.sleep(seconds)  # noqa: ASYNC251 - to block the loop is what it is for
    return n


@server.task
async def work(n: int, seconds: float) -> int:
    note("begin", n)
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        note("cut", n)
        raise
    note("end", n)
    return n


@server.task
async def gated(n: int, gates: Path) -> int:
    """Run until a file in *gates* bears the number of this process."""
    note("begin", n)
    while not (gates / str(os.getpid())).exists():  # noqa: ASYNC110 - the test is another process
        await asyncio.sleep(0.01)
    note("end", n)
    return n


@server.task
async def gather(n: int, values: list[int]) -> int:
    """Add up what a group has come to."""
    note("begin", n)
    note("end", n)
    return sum(values)


@server.task
async def again(n: int, seconds: float) -> Signature[int]:
    """Go on as the work itself."""
    note("begin", n)
    note("end", n)
    return work.s(n, seconds)


@server.task(rate_limit="100/s")
async def paced(n: int) -> int:
    """Start as often as it may."""
    note("begin", n)
    note("end", n)
    return n


@server.task(max_running=4)
async def slotted(n: int, seconds: float) -> int:
    """Run while no more than three others do."""
    note("begin", n)
    await asyncio.sleep(seconds)
    note("end", n)
    return n

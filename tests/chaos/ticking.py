"""The application whose schedulers are killed: each run of a slot leaves a line outside the system.

HISTORY names a file; a line is the id of a task, one write to a file opened with O_APPEND.
"""

from __future__ import annotations

import os

from aioqueue import Server, current

server = Server()


def note() -> None:
    """Append the id of the task that runs."""
    descriptor = os.open(os.environ["HISTORY"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{current().task_id}\n".encode())
    finally:
        os.close(descriptor)


@server.periodic(0.2, misfire="all")
async def every() -> None:
    note()


@server.periodic(0.2, misfire="once")
async def last() -> None:
    note()


@server.periodic(0.2, misfire="skip", overlap="skip")
async def alone() -> None:
    note()

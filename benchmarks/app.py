"""The application that is measured; AIOQUEUE_BROKER names its store."""

from __future__ import annotations

from aioqueue import Server

server = Server()


@server.task
async def noop(n: int) -> int:
    return n

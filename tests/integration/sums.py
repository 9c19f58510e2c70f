"""Sums: the tasks that tests of workflows put together."""

from __future__ import annotations

from aioqueue import Server


class Sums:
    """A Server with tasks that add up, and one that fails."""

    def __init__(self, server: Server) -> None:
        self.server = server

        @server.task
        async def add(x: int, y: int) -> int:
            return x + y

        @server.task
        async def total(xs: list[int]) -> int:
            return sum(xs)

        @server.task
        async def fail(message: str) -> int:
            raise ValueError(message)

        self.add, self.total, self.fail = add, total, fail

"""The tasks: what a worker can run. It needs no web framework."""

import asyncio

from aioqueue import Server

server = Server(queue="sums")


@server.task
async def total(numbers: list[int]) -> int:
    await asyncio.sleep(0.1)  # stands for work
    if not numbers:
        raise ValueError("there is nothing to add up")
    return sum(numbers)

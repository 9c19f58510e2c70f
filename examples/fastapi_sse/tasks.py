"""The task: an async generator, whose values are told as it goes on. It needs no web framework."""

import asyncio
from collections.abc import AsyncIterator

from aioqueue import Server, current

server = Server(queue="words")


@server.task
async def words(text: str) -> AsyncIterator[str]:
    found = text.split()
    for number, word in enumerate(found, start=1):
        await asyncio.sleep(0.1)  # stands for work
        yield word.upper()
        current().progress(number, len(found))

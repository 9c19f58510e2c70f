"""What tests of workflows on Redis have in common: places where they run, and a look at their keys."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aioqueue import Signature
from aioqueue.protocols.adapter import Adapter
from aioqueue.urls import connect
from tests.integration.redis.apparatus import QUEUE, Namespace
from tests.support.clocks import PatientClock
from tests.support.flows import Works, works_of_one, works_of_two
from tests.support.redis_server import RedisServer
from tests.support.stores import backend_of, broker_of

DAY = 86_400.0

SHOWN = 3_600.0
"""Seconds that what has ended is shown, where a test says nothing of it."""

BRIEF = 60.0
"""Seconds that it is shown where tests look at that."""

SOON = 60.0
"""Seconds that a test may take at most."""


@asynccontextmanager
async def one_store(url: str) -> AsyncGenerator[Works]:
    """Run workflows in the namespace of *url*."""
    async with AsyncExitStack() as stack:
        adapter = await opened(stack, url)
        yield works_of_one(broker_of(adapter), backend_of(adapter), PatientClock(), QUEUE)


@asynccontextmanager
async def two_stores(url: str, broker: str) -> AsyncGenerator[Works]:
    """Run workflows in the namespace of *url*, their messages in that of *broker*."""
    async with AsyncExitStack() as stack:
        other, adapter = await opened(stack, broker), await opened(stack, url)
        yield works_of_two(broker_of(other), backend_of(adapter), PatientClock(), QUEUE)


async def opened(stack: AsyncExitStack, url: str) -> Adapter:
    """Return an adapter that is open as long as *stack*."""
    adapter = connect(url)
    for part in (broker_of(adapter), backend_of(adapter)):
        await part.open()
        stack.push_async_callback(part.close)
    return adapter


def left(namespace: Namespace, key: str) -> float:
    """Return the seconds *key* has to live; below 0 if there is none, or it stays for ever."""
    return int(namespace.server.command("PTTL", namespace.prefix + key)) / 1000


def kept(namespace: Namespace, *kinds: str) -> list[str]:
    """Return the keys of these kinds."""
    return [key for kind in sorted(kinds) for key in namespace.keys(f"{kind}:*")]


def named(names: Sequence[str]) -> list[Signature[Any]]:
    """Return a complete call for each name."""
    return [Signature(name=name, takes="none") for name in names]


def age(namespace: Namespace, seconds: float) -> None:
    """Let keys with a time to live be that much older."""
    for key in namespace.keys("[ftoig]:*"):
        rest = int((left(namespace, key) - seconds) * 1000)
        # one that has lapsed already is gone
        namespace.server.command("PEXPIRE", namespace.prefix + key, max(rest, 0))


def fill(server: RedisServer) -> None:
    """Leave the server no memory, whatever it frees: from now on it takes nothing that needs any."""
    server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    server.command("CONFIG", "SET", "maxmemory", 1)

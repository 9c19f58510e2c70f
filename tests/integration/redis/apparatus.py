"""What tests of the Redis adapter have in common: tasks that are counted, and a look past the adapter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aioqueue import AsyncResult, Server, Signature
from aioqueue.errors import BrokerUnavailableError
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually, pause

QUEUE = "default"
QUICK: dict[str, Any] = {"lease": 3.0, "beat": 0.5, "sweep": 0.5, "grace": 5}
"""Settings of a worker that finds out soon."""


def prefix_of(url: str) -> str:
    """Return what every key of *url*'s namespace begins with."""
    return f"aq:{{{parse_qs(urlsplit(url).query)['namespace'][0]}}}:"


def through(port: int, url: str) -> str:
    """Return *url* by way of a proxy on *port*."""
    return urlsplit(url)._replace(netloc=f"127.0.0.1:{port}").geturl()


class Counted:
    """A Server with one task, which counts how often it runs with each number."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.server = Server(url, **{**QUICK, **settings})
        self.runs: Counter[int] = Counter()
        self.running: set[int] = set()
        self.server.register_task("work", self.work)

    async def work(self, number: int, seconds: float = 0.0) -> int:
        """Take *seconds*, and return the number."""
        self.runs[number] += 1
        self.running.add(number)
        try:
            await pause(seconds)
        finally:
            self.running.discard(number)
        return number

    def call(self, number: int, seconds: float = 0.0, **fields: Any) -> Signature[int]:
        """Return a call of the task."""
        return Signature(name="work", args=(number, seconds), **fields)

    async def send(self, count: int, seconds: float = 0.0) -> list[AsyncResult[int]]:
        """Send the numbers below *count*."""
        return await self.server.send_many([self.call(number, seconds) for number in range(count)])

    def ran_once(self, count: int) -> bool:
        """Tell whether each number below *count* has run once, and no other has."""
        return self.runs == Counter(range(count))


async def kept(results: Sequence[AsyncResult[int]]) -> list[int]:
    """Return what the tasks came to; a server that is away for long is asked again."""
    values = []
    for result in results:
        values.append(await result.get(timeout=20))
    return values


async def insisting(server: Server, calls: Sequence[Signature[int]]) -> list[AsyncResult[int]]:
    """Send calls that name their ids, again and again until it is known that they were sent."""
    while True:
        try:
            return await server.send_many(calls)
        except BrokerUnavailableError:
            await pause(0.02)


class Namespace:
    """The keys of one URL, seen past the adapter. Calls block."""

    def __init__(self, server: RedisServer, url: str) -> None:
        self.server = server
        self.prefix = prefix_of(url)

    def keys(self, pattern: str = "*") -> list[str]:
        """Return the names of the keys, without the prefix."""
        found = self.server.command("KEYS", self.prefix + pattern)
        return sorted(key.decode().removeprefix(self.prefix) for key in found)

    def entries(self) -> dict[str, int]:
        """Return how many entries each stream has that has any."""
        lengths = {key: int(self.server.command("XLEN", self.prefix + key)) for key in self.keys("q:*")}
        return {key: length for key, length in lengths.items() if length}

    def held(self) -> dict[str, int]:
        """Return how many entries are held in each stream where some are."""
        found = {key: sum(group["pending"] for group in self._groups(key)) for key in self.keys("q:*")}
        return {key: count for key, count in found.items() if count}

    def consumers(self) -> set[str]:
        """Return the names by which anybody reads."""
        names = {name.decode() for name in self.server.command("HKEYS", f"{self.prefix}consumers")}
        for key in self.keys("q:*"):
            for group in self._groups(key):
                listed = self.server.command("XINFO", "CONSUMERS", self.prefix + key, group["name"])
                names |= {_fields(each)["name"].decode() for each in listed}
        return names

    def _groups(self, key: str) -> list[dict[str, Any]]:
        return [_fields(each) for each in self.server.command("XINFO", "GROUPS", self.prefix + key)]

    def is_idle(self) -> bool:
        """Tell whether nothing waits, nothing is held and nobody has a lease."""
        return not (self.entries() or self.held() or self.consumers() or self.keys("l:*") or self.keys("d:*"))


def _fields(row: Sequence[Any]) -> dict[str, Any]:
    return {name.decode(): value for name, value in zip(row[::2], row[1::2], strict=True)}


async def blocked(server: RedisServer, count: int = 1) -> None:
    """Return once *count* blocking reads wait on the server."""
    await eventually(lambda: int(server.info("clients")["blocked_clients"]) >= count)


async def settled(namespace: Namespace) -> None:
    """Return once the namespace is idle."""
    await eventually(namespace.is_idle, deadline=5.0)

"""A server that speaks the protocol of Redis and does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aioqueue.adapters.redis.link import Links, Make
from aioqueue.adapters.redis.options import parse
from aioqueue.adapters.redis.route import Route
from tests.support.waiting import eventually, within

Command = list[bytes]


def bulk(value: bytes) -> bytes:
    """Return a reply of one string."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def array(*values: bytes) -> bytes:
    """Return a reply of strings."""
    return b"*%d\r\n" % len(values) + b"".join(map(bulk, values))


def echo(command: Command) -> bytes:
    """Answer with the last word of a command."""
    return bulk(command[-1])


class Connection:
    """One client. reads: the commands of each read, without the library's introduction."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.reads: list[list[Command]] = []
        self._writer = writer

    @property
    def commands(self) -> list[Command]:
        """All commands, in order."""
        return [command for read in self.reads for command in read]

    def send(self, reply: bytes) -> None:
        """Send a reply of any kind."""
        self._writer.write(reply)

    def cut(self) -> None:
        """Hang up without a word."""
        self._writer.transport.abort()


class Fake:
    """The server. answer: makes the reply to a command, none for b"". hears: while it is set, it reads."""

    def __init__(self) -> None:
        self.port = 0
        self.connections: list[Connection] = []
        self.answer: Callable[[Command], bytes] = echo
        self.refuses = False
        self.hears = asyncio.Event()
        self.hears.set()
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def make(self) -> Make:
        """What makes links to it."""
        return Links(Route(parse(f"redis://127.0.0.1:{self.port}?timeout=1")))

    @property
    def last(self) -> Connection:
        """The newest connection."""
        return self.connections[-1]

    async def heard(self, count: int) -> None:
        """Return once the newest connection has brought so many commands."""
        await eventually(lambda: bool(self.connections) and len(self.last.commands) >= count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk to one client."""
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        if self.refuses:
            writer.transport.abort()
            return
        connection = Connection(writer)
        self.connections.append(connection)
        rest = b""
        try:
            while data := await reader.read(1_000_000):
                await self.hears.wait()
                commands, rest = _parsed(rest + data)
                heard = [command for command in commands if command[0] != b"CLIENT"]
                if heard:
                    connection.reads.append(heard)
                for command in commands:
                    writer.write(b"+OK\r\n" if command[0] == b"CLIENT" else self.answer(command))
        except ConnectionError:
            return
        finally:
            writer.close()

    async def ended(self) -> None:
        """Hang up on all, and return when nobody is served."""
        self.hears.set()
        for connection in self.connections:
            connection.cut()
        await within(asyncio.gather(*self._serving))


@asynccontextmanager
async def running() -> AsyncIterator[Fake]:
    """Return a server that runs."""
    fake = Fake()
    listener = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.port = int(listener.sockets[0].getsockname()[1])
    try:
        yield fake
    finally:
        listener.close()
        await fake.ended()


def _parsed(data: bytes) -> tuple[list[Command], bytes]:
    """Return the commands that are whole, and what is left."""
    commands: list[Command] = []
    while True:
        command, rest = _first(data)
        if command is None:
            return commands, data
        commands.append(command)
        data = rest


def _first(data: bytes) -> tuple[Command | None, bytes]:
    head, line, rest = data.partition(b"\r\n")
    if not line:
        return None, data
    words: Command = []
    for _ in range(int(head[1:])):
        size, line, rest = rest.partition(b"\r\n")
        if not line or len(rest) < int(size[1:]) + 2:
            return None, data
        words.append(rest[: int(size[1:])])
        rest = rest[int(size[1:]) + 2 :]
    return words, rest

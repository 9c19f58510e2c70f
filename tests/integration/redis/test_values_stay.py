"""Values of a workflow go to Redis once each, with the end of their task, and wait there for who takes them.

The server itself tells what it was told: MONITOR lists every command, those of scripts too.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from aioqueue import Server, chain, current, group
from aioqueue.protocols.flow import PAGE
from tests.integration.redis.apparatus import prefix_of
from tests.support.redis_server import HOST, RedisServer
from tests.support.waiting import within

MARK = "so that it is found wherever it goes"
MEMBERS = PAGE + 20

_ARGUMENT = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_OWNER = re.compile(rf"{MARK} <(.+?)>")
_OVER = "that is all"
_LONGEST = 2**26


@dataclass
class Told:
    """What a server was told. by_clients, by_scripts: commands, each a list of its arguments."""

    by_clients: list[list[str]] = field(default_factory=list[list[str]])
    by_scripts: list[list[str]] = field(default_factory=list[list[str]])

    def hear(self, line: bytes) -> None:
        """Take note of a line of MONITOR."""
        _, _, rest = line.partition(b" [")
        source, _, command = rest.partition(b"] ")
        arguments = [each.decode() for each in _ARGUMENT.findall(command)]
        (self.by_scripts if source.endswith(b"lua") else self.by_clients).append(arguments)


@asynccontextmanager
async def listening(server: RedisServer) -> AsyncIterator[Told]:
    """Hear all that *server* is told within."""
    told = Told()
    reader, writer = await asyncio.open_connection(HOST, server.port, limit=_LONGEST)
    writer.write(b"MONITOR\r\n")
    await within(reader.readline())
    yield told
    await asyncio.to_thread(server.command, "ECHO", _OVER)
    while _OVER.encode() not in (line := await within(reader.readline())):
        told.hear(line)
    writer.close()


@pytest.mark.anyio
async def test_each_value_is_told_once_and_is_in_no_message(own: RedisServer, own_url: str) -> None:
    server = Server(own_url)

    def marked() -> str:
        return f"{MARK} <{current().task_id}> " + "x" * 300

    @server.task
    async def first() -> str:
        return marked()

    @server.task
    async def member(number: int, taken: str) -> str:
        return marked()

    @server.task
    async def taken(values: list[str]) -> int:
        return len({value for value in values if MARK in value})

    members = group(member.p(number) for number in range(MEMBERS))
    async with listening(own) as told:
        async with server, server.worker():
            value = await within((await chain(first.s(), members, taken.p()).send()).get(), deadline=60)

    # a script that the server did not know is sent again
    said = {tuple(command[2:]) for command in told.by_clients if any(MARK in each for each in command)}
    sent = [(_OWNER.findall(each), command) for command in said for each in command if MARK in each]
    prefix = prefix_of(own_url)
    kept = {
        (command[0].upper(), command[1].removeprefix(prefix).partition(":")[0])
        for command in told.by_scripts
        # what is published is heard by who waits for the task itself, and stays nowhere
        if any(MARK in each for each in command) and command[0].upper() != "PUBLISH"
    }
    assert value == MEMBERS
    assert all(len(owners) == 1 and owners[0] in command for owners, command in sent)
    assert len({owners[0] for owners, _ in sent}) == len(sent) == MEMBERS + 1
    # its record, and the join it is a member of
    assert kept == {("HSET", "t"), ("HSETNX", "g")}

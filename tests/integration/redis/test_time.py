"""Time on Redis, in figures: many tasks that are due at once, and what an idle worker asks."""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from aioqueue import Server, Signature, codec, current
from aioqueue.adapters.redis import connect
from aioqueue.adapters.redis.broker import RedisBroker
from aioqueue.ids import new_id
from aioqueue.protocols.messages import Message
from tests.integration.redis.apparatus import Namespace
from tests.support.redis_server import HOST, RedisServer
from tests.support.waiting import eventually, pause, under_way, within

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

TASKS, BATCH, ROUNDS = 10_000, 1_000, 5
PROMOTED, MOST_ENTRIES, SPARE = 100, 200, 20.0
IDLE, MOST, WINDOWS = 20.0, 3.0, 5
"""Seconds of a window, commands a second, and windows: at its ends some may have one of each kind more."""

_IN_SCRIPT = re.compile(rb"\+[\d.]+ \[\d+ lua\]")
_TASK = re.compile(rb":[tm]:(\w+)")
_SENT = re.compile(rb'^\+[\d.]+ \[\d+ (?!lua)[^\]]+\] "(\w+)"', re.MULTILINE)


class Bell:
    """A Server whose task notes when it ran."""

    def __init__(self, url: str) -> None:
        self.server = Server(url)
        self.ran: list[float] = []
        self.server.register_task("ring", self.ring)

    async def ring(self) -> None:
        """Note the moment."""
        self.ran.append(time.time())

    async def send(self, count: int, eta: datetime) -> None:
        """Send so many for one moment; packed once, as a loaded machine takes long to pack as many."""
        body, at = codec.encode(Signature(name="ring")), eta.timestamp()
        plain = Message("", "ring", "default", body, eta=at, tracked=False, sent=time.time())
        for start in range(0, count, BATCH):
            sent = [replace(plain, id=new_id()) for _ in range(min(BATCH, count - start))]
            await self.server.stores.broker.publish(sent)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_ten_thousand_tasks_due_at_one_moment_hold_up_nobody(own: RedisServer, own_url: str) -> None:
    calm, spare = 0, SPARE
    bell = Bell(own_url)
    own.command("CONFIG", "SET", "slowlog-log-slower-than", 10_000)
    for number in range(ROUNDS):
        bell.ran.clear()
        async with bell.server:
            eta = datetime.now(UTC) + timedelta(seconds=spare)
            await bell.send(TASKS, eta)
            left = (eta - datetime.now(UTC)).total_seconds()
            assert left > 0, "to send them has taken too long"
            # no longer than it takes here
            spare = min(SPARE, 2 * (spare - left) + 4)
            for command in ("SLOWLOG", "CONFIG"):
                own.command(command, "RESET" if command == "SLOWLOG" else "RESETSTAT")
            before = busy(own)
            async with bell.server.worker(concurrency=1_000):
                await eventually(lambda: len(bell.ran) == TASKS, deadline=60)
            spent = busy(own) - before
        late = sorted(ran - eta.timestamp() for ran in bell.ran)
        slow, scripts = (
            int(own.command("SLOWLOG", "LEN")),
            own.info("commandstats")["cmdstat_evalsha"]["calls"],
        )
        calm += slow == 0
        cuts = statistics.quantiles(late, n=100)
        print(
            f"round {number + 1}: late p50 {cuts[49]:.3f} s, p99 {cuts[98]:.3f} s; {slow} slow commands; "
            f"{spent / scripts * 1_000:.1f} ms of the server's CPU a script"
        )
        assert late[0] > -0.01
        assert spent / scripts < 0.01
    # by the wall clock, and so of the machine too: what the server itself takes is asserted
    print(f"no slow command in {calm} of {ROUNDS} rounds")


def busy(server: RedisServer) -> float:
    """Return the seconds of CPU a server has spent."""
    spent = server.info("cpu")
    return float(spent["used_cpu_user"]) + float(spent["used_cpu_sys"])


async def test_script_makes_no_more_than_a_hundred_ready(url: str, namespace: Namespace) -> None:
    bell = Bell(url)
    async with bell.server, AsyncExitStack() as stack:
        eta = datetime.now(UTC) + timedelta(seconds=2)
        await bell.send(BATCH, eta)
        broker = connect(url).broker
        assert isinstance(broker, RedisBroker)
        await broker.open()
        stack.push_async_callback(broker.close)
        await pause(max(0.0, (eta - datetime.now(UTC)).total_seconds()) + 0.1)
        moved: list[int] = []
        while sum(moved) < BATCH:
            await broker._access.script("promote", "default")
            moved.append(namespace.entries()["q:default:0"] - sum(moved))

        assert moved == [PROMOTED] * (BATCH // PROMOTED)
        async with bell.server.worker() as worker:
            await eventually(lambda: worker.done == BATCH)


async def test_no_script_is_over_more_than_two_hundred_tasks_however_many_are_due(
    own: RedisServer, own_url: str
) -> None:
    ran: list[str] = []
    server = Server(own_url)

    @server.task
    async def ring() -> None:
        ran.append(current().task_id)

    async with server:
        eta = datetime.now(UTC) + timedelta(seconds=2)
        await server.send_many([ring.options(eta=eta).s()] * BATCH)
        await pause(max(0.0, (eta - datetime.now(UTC)).total_seconds()) + 0.1)
        listening = await under_way(monitored(own.port, until=lambda: len(ran) == BATCH))
        # as many slots as there are tasks: it is not they that keep a script small
        async with server.worker(concurrency=BATCH):
            said = await within(listening, deadline=60)
    sizes = [len(ids) for ids in by_script(said) if ids]

    assert sum(sizes) >= BATCH
    assert 50 <= max(sizes) <= MOST_ENTRIES


def by_script(said: bytes) -> Iterator[set[bytes]]:
    """Yield of each script, of what a server told of its commands, the ids of the tasks that it met."""
    ids = set[bytes]()
    for line in said.splitlines():
        if _IN_SCRIPT.match(line) is None:
            yield ids
            ids = set()
        else:
            ids.update(_TASK.findall(line))
    yield ids


async def monitored(port: int, until: Callable[[], bool]) -> bytes:
    """Return what a server tells of all commands until that is so."""
    reader, writer = await asyncio.open_connection(HOST, port)
    said = bytearray()
    try:
        writer.write(b"MONITOR\r\n")
        while not until():
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    said += await reader.read(1_048_576)
    finally:
        writer.close()
    return bytes(said)


async def overheard(port: int, seconds: float) -> Counter[str]:
    """Return which commands clients send to a server, and how many of each; not what scripts do."""
    over = time.monotonic() + seconds
    said = await monitored(port, until=lambda: time.monotonic() >= over)
    return Counter(match[1].decode().upper() for match in _SENT.finditer(said))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_idle_worker_with_one_task_due_in_an_hour_asks_little(own: RedisServer, own_url: str) -> None:
    bell, asked = Bell(own_url), list[float]()
    async with bell.server, bell.server.worker():
        await bell.server.send(Signature(name="ring", delay=3_600.0))
        await pause(1.0)

        while len(asked) < WINDOWS and min(asked, default=2 * MOST) > MOST:
            heard = await overheard(own.port, IDLE)
            asked.append(heard.total() / IDLE)
            print(f"{asked[-1]:.2f} commands a second: {dict(heard)}")

    assert min(asked) <= MOST

"""A server at its maxmemory: what is sent is refused whole, what is there is worked off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from aioqueue import AsyncResult, Server, Signature, current
from aioqueue.errors import BrokerUnavailableError, QueueFullError, Reject, Retry
from aioqueue.models.state import State
from tests.integration.redis.apparatus import QUICK, Namespace, settled
from tests.integration.redis.conftest import Launch, Place
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually, within

pytestmark = pytest.mark.anyio

MEGABYTES = 12
SIZES = (400_000, 100_000, 20_000, 5_000)
"""Bytes of the payloads it is filled with, until even the small ones do not fit."""


@pytest.fixture
def small(launch: Launch) -> RedisServer:
    """A server with little memory."""
    return launch("--maxmemory", f"{MEGABYTES}mb", "--maxmemory-policy", "noeviction", appendonly=True)


@pytest.fixture
def url(small: RedisServer, place: Place) -> str:
    """A namespace on it."""
    return place(small)


@pytest.fixture
def namespace(small: RedisServer, url: str) -> Namespace:
    """Its keys."""
    return Namespace(small, url)


class Tasks:
    """Tasks of every kind of end; *gate* lets those end that began before the server was full."""

    def __init__(self, url: str) -> None:
        self.server = Server(url, **QUICK)
        self.gate = asyncio.Event()
        self.begun = 0
        for name in ("big", "gated", "retried", "rejected", "rows"):
            self.server.register_task(name, getattr(self, name))

    async def big(self, payload: str) -> int:
        """Return how long the payload is."""
        return len(payload)

    async def gated(self, number: int) -> str:
        """Return some text when it may."""
        self.begun += 1
        await self.gate.wait()
        return f"{number:05d}" * 20

    async def retried(self) -> int:
        """Ask for another attempt once the gate is open; return the number of that one."""
        self.begun += 1
        await self.gate.wait()
        attempt = current().attempt
        if attempt == 1:
            raise Retry("not yet", delay=0.05)
        return attempt

    async def rows(self) -> AsyncIterator[int]:
        """Yield some values when it may."""
        self.begun += 1
        await self.gate.wait()
        for number in range(3):
            current().progress(number, 3)
            yield number

    async def rejected(self) -> None:
        """End among the dead letters."""
        self.begun += 1
        await self.gate.wait()
        raise Reject("no good")

    def call(self, size: int) -> Signature[int]:
        """Return a call of so many bytes."""
        return Signature(name="big", args=("x" * size,))

    async def fill(self) -> tuple[list[AsyncResult[int]], QueueFullError]:
        """Send until nothing is accepted; return what was, and the last refusal."""
        sent: list[AsyncResult[int]] = []
        refused = QueueFullError()
        for size in SIZES:
            for _ in range(10_000):
                try:
                    sent.append(await self.server.send(self.call(size)))
                except QueueFullError as exc:
                    refused = exc
                    break
        return sent, refused


@pytest.fixture
async def tasks(url: str) -> AsyncIterator[Tasks]:
    """The tasks, open."""
    tasks = Tasks(url)
    async with tasks.server:
        yield tasks


async def test_full_server_refuses_a_send_and_says_why(tasks: Tasks, url: str) -> None:
    sent, refused = await tasks.fill()

    assert len(sent) > 20
    assert f"{url} is at its maxmemory, so nothing was sent" in str(refused)
    assert "let workers empty the queues, or give it more memory" in str(refused)


@pytest.mark.parametrize("count", [1, 200])
async def test_refused_send_leaves_nothing(
    tasks: Tasks, small: RedisServer, namespace: Namespace, count: int
) -> None:
    await tasks.fill()
    # buffers come and go, and with them the room for one more
    small.command("CONFIG", "SET", "maxmemory", f"{MEGABYTES - 2}mb")
    before = namespace.keys(), namespace.entries()

    for _ in range(20):
        with pytest.raises(QueueFullError, match="nothing was sent"):
            await tasks.server.send_many([tasks.call(10_000) for _ in range(count)])

    assert (namespace.keys(), namespace.entries()) == before


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_refused_send_may_be_sent_again_under_its_id_when_there_is_room(tasks: Tasks) -> None:
    await tasks.fill()
    call = tasks.call(50_000).options(id="the-one")
    with pytest.raises(QueueFullError):
        await tasks.server.send(call)

    async with tasks.server.worker():
        async for result in _accepted(tasks.server, call):
            assert result.created
            assert await within(result.get()) == 50_000


async def _accepted(server: Server, call: Signature[int]) -> AsyncIterator[AsyncResult[int]]:
    """Yield the result of *call* once it is accepted."""
    got: list[AsyncResult[int]] = []

    async def is_accepted() -> bool:
        try:
            got.append(await server.send(call))
        except QueueFullError:
            return False
        return True

    await eventually(is_accepted)
    yield got[0]


async def test_what_runs_while_it_is_full_is_committed(tasks: Tasks, namespace: Namespace) -> None:
    server = tasks.server
    async with server.worker(queues=["running"], concurrency=30):
        gated = await server.send_many(
            [Signature[str](name="gated", args=(n,), queue="running") for n in range(10)]
        )
        retried = await server.send(Signature[int](name="retried", queue="running"))
        rejected = await server.send(Signature[None](name="rejected", queue="running"))
        await eventually(lambda: tasks.begun == 12)
        await tasks.fill()

        tasks.gate.set()
        values = await within(asyncio.gather(*gated))
        value = await within(retried.get())
        await eventually(lambda: _is(rejected, State.FAILURE))
        with pytest.raises(QueueFullError):
            await server.send_many([tasks.call(10_000) for _ in range(200)])

    assert values == [f"{number:05d}" * 20 for number in range(10)]
    assert value == 2
    assert [letter.id for letter in await server.dead_letters()] == [rejected.id]
    assert not namespace.held()


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_limited_tasks_pass_though_it_is_full(tasks: Tasks, namespace: Namespace) -> None:
    server = tasks.server
    tasks.gate.set()
    server.register_task("slotted", tasks.gated, max_running=2, rate_limit="200/s")
    results = await server.send_many(
        [Signature[str](name="slotted", args=(n,), queue="running") for n in range(10)]
    )
    await tasks.fill()

    async with server.worker(queues=["running"]):
        values = await within(asyncio.gather(*results))

    assert values == [f"{number:05d}" * 20 for number in range(10)]
    assert not namespace.held()


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_stream_ends_though_it_is_full(tasks: Tasks, small: RedisServer) -> None:
    async with tasks.server.worker(queues=["running"]):
        result = await tasks.server.send(Signature[int](name="rows", queue="running"))
        await eventually(lambda: tasks.begun == 1)
        await tasks.fill()
        small.command("CONFIG", "SET", "maxmemory", f"{MEGABYTES - 2}mb")

        tasks.gate.set()
        assert await within(result.get()) == 3


async def _is(result: AsyncResult[None], state: State) -> bool:
    return (await result.state()).state is state


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_what_runs_while_it_is_full_is_given_back(tasks: Tasks, namespace: Namespace) -> None:
    server = tasks.server
    async with server.worker(queues=["running"], grace=0.1):
        results = await server.send_many(
            [Signature[str](name="gated", args=(n,), queue="running") for n in range(10)]
        )
        await eventually(lambda: tasks.begun == 10)
        await tasks.fill()

    assert not namespace.held()
    assert [(await result.state()).state for result in results] == [State.PENDING] * 10
    assert namespace.entries()["q:running:again"] == 10


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_lease_is_kept_while_it_is_full(tasks: Tasks, namespace: Namespace) -> None:
    server = tasks.server
    async with server.worker(queues=["running"], lease=2.0, beat=0.2):
        result = await server.send(Signature[str](name="gated", args=(1,), queue="running"))
        await eventually(lambda: tasks.begun == 1)
        await tasks.fill()
        (lease,) = namespace.keys("l:*")
        loop = asyncio.get_running_loop()
        until = loop.time() + 2.5

        await eventually(lambda: loop.time() > until or namespace.keys("l:*") != [lease])

        assert namespace.keys("l:*") == [lease]
        tasks.gate.set()
        assert await within(result.get()) == "00001" * 20
    assert tasks.begun == 1


async def test_worker_that_starts_on_a_full_server_empties_it(tasks: Tasks, namespace: Namespace) -> None:
    sent, _ = await tasks.fill()

    async with tasks.server.worker():
        values = await within(asyncio.gather(*sent), deadline=20)
        result = await tasks.server.send(tasks.call(100_000))
        assert await within(result.get()) == 100_000

    assert set(values) <= set(SIZES)
    await settled(namespace)


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_shared_map_of_a_full_server_is_unavailable(tasks: Tasks) -> None:
    await tasks.fill()
    store = tasks.server.stores.store
    assert store is not None

    with pytest.raises(BrokerUnavailableError, match="maxmemory"):
        await store.put("key", b"x" * 20_000)

    assert await store.get("key") is None

"""Blocked reads: what they bring is run at once, whatever becomes of the read or of who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from aioqueue.adapters.redis import connect
from aioqueue.adapters.redis.broker import RedisBroker
from aioqueue.adapters.redis.consumer import RedisConsumer
from aioqueue.adapters.redis.scripts import script
from aioqueue.protocols.messages import Delivery, Settlement
from tests.integration.redis.apparatus import (
    QUEUE,
    Counted,
    Namespace,
    blocked,
    kept,
    settled,
    through,
)
from tests.support.proxy import Fault, FaultProxy
from tests.support.redis_server import HOST, RedisServer
from tests.support.waiting import eventually, message, take, within

pytestmark = pytest.mark.anyio


@pytest.fixture
async def proxy(shared: RedisServer) -> AsyncIterator[FaultProxy]:
    """A way to the shared server that can be cut."""
    async with FaultProxy(HOST, shared.port) as proxy:
        yield proxy


@pytest.mark.parametrize("fault", [Fault.CUT_REPLY, Fault.CUT_MID_REPLY])
async def test_message_whose_blocked_read_is_cut_runs_at_once(
    url: str, proxy: FaultProxy, namespace: Namespace, fault: Fault
) -> None:
    counted = Counted(through(proxy.port, url), lease=30.0, beat=10.0)
    async with counted.server, counted.server.worker():
        proxy.arm(fault, times=1, matching=b"XREADGROUP")
        await eventually(lambda: proxy.armed == 0)

        (result,) = await counted.send(1)

        assert await within(result.get(), deadline=3.0) == 0
        assert proxy.counts[fault] == 1
    assert counted.ran_once(1)
    await settled(namespace)


@pytest.mark.parametrize("fault", [Fault.CUT_REPLY, Fault.CUT_MID_REPLY])
async def test_tasks_whose_fetch_lost_its_reply_run_at_once_and_once(
    url: str, proxy: FaultProxy, namespace: Namespace, fault: Fault
) -> None:
    counted = Counted(through(proxy.port, url), lease=30.0, beat=10.0)
    async with counted.server:
        results = await counted.send(20)
        proxy.arm(fault, times=2, matching=script("fetch").digest.encode())
        async with counted.server.worker():
            values = await within(kept(results), deadline=5.0)

    assert values == list(range(20))
    assert proxy.counts[fault] == 2
    assert counted.ran_once(20)
    await settled(namespace)


async def test_worker_that_stops_while_it_waits_leaves_nothing(
    own: RedisServer, own_counted: Counted, own_namespace: Namespace
) -> None:
    async with own_counted.server.worker(queues=["a", "b", QUEUE]):
        await blocked(own)

    assert own_namespace.is_idle()


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_worker_that_is_cancelled_while_it_waits_leaves_nothing(
    own: RedisServer, own_counted: Counted, own_namespace: Namespace
) -> None:
    working = asyncio.create_task(own_counted.server.worker().run())
    await blocked(own)

    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(working)

    await settled(own_namespace)


async def test_workers_whose_start_was_cancelled_are_forgotten(namespace: Namespace, url: str) -> None:
    counted = Counted(url, lease=0.5, beat=0.1, sweep=0.1)
    async with counted.server:
        for steps in range(0, 40, 2):
            working = asyncio.create_task(counted.server.worker().run())
            for _ in range(steps):
                await asyncio.sleep(0)
            working.cancel()
            with pytest.raises(asyncio.CancelledError):
                await within(working)

        async with counted.server.worker():
            await eventually(lambda: len({name.partition(".")[0] for name in namespace.consumers()}) == 1)
    await settled(namespace)


@asynccontextmanager
async def late_way(port: int) -> AsyncIterator[int]:
    """Open a way to the server on which it does not hear that a client hung up; gives its port."""
    ends: list[asyncio.StreamWriter] = []
    serving: list[asyncio.Task[None]] = []

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65_536):
                sink.write(data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.append(task)
        up_reader, up_writer = await asyncio.open_connection(HOST, port)
        ends.extend((writer, up_writer))
        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

    listener = await asyncio.start_server(serve, HOST, 0)
    try:
        yield int(listener.sockets[0].getsockname()[1])
    finally:
        listener.close()
        for end in ends:
            end.close()
        await within(asyncio.gather(*serving))
        await asyncio.gather(*(end.wait_closed() for end in ends), return_exceptions=True)


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_message_for_a_worker_that_has_stopped_runs_elsewhere(
    own: RedisServer, own_url: str, own_namespace: Namespace
) -> None:
    """The server learns late that it hung up, and hands its blocked read one more message."""
    staying = Counted(own_url, lease=1.0, beat=0.2, sweep=0.2)
    async with staying.server, late_way(own.port) as port:
        leaving = Counted(through(port, own_url))
        async with leaving.server, leaving.server.worker():
            await blocked(own)

        (result,) = await staying.send(1)
        async with staying.server.worker():
            assert await within(result.get(), deadline=5.0) == 0
    await settled(own_namespace)


@pytest.fixture
async def own_broker(own_url: str) -> AsyncIterator[RedisBroker]:
    """A broker on a server of the test's own, open."""
    broker = connect(own_url).broker
    assert isinstance(broker, RedisBroker)
    await broker.open()
    yield broker
    await broker.close()


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_message_read_for_a_consumer_that_was_judged_runs_elsewhere(
    own: RedisServer, own_broker: RedisBroker, own_namespace: Namespace
) -> None:
    """Its lease is gone and others have handed on what it held, but its blocked read goes on."""

    async def judged() -> bool:
        await own_broker.maintain()
        return own_namespace.keys("consumers") == []

    async with own_broker.consume([QUEUE], prefetch=1, lease=0.2, worker="w") as consumer:
        waiting = asyncio.create_task(consumer.receive(1, timeout=1.5))
        await blocked(own)
        await eventually(judged)
        await own_broker.publish([message(QUEUE, tracked=False)])
        assert await within(waiting) == []

    async with own_broker.consume([QUEUE], prefetch=1, lease=5.0, worker="w") as other:
        (delivery,) = await take(other, deadline=3.0)
        await other.settle([Settlement(delivery)])
    await settled(own_namespace)


async def test_who_does_not_wait_is_handed_what_a_read_that_was_hung_up_has_brought(
    own: RedisServer, own_broker: RedisBroker, own_namespace: Namespace
) -> None:
    """A server may hand an entry to a read whose connection it does not yet know to be closed."""
    async with own_broker.consume([QUEUE], prefetch=1, lease=15.0, worker="w") as consumer:
        await own_broker.publish([message(QUEUE, tracked=False)])
        (stream,) = own_namespace.entries()
        name = f"{own_namespace.prefix}{stream}"
        reply = own.command("XREADGROUP", "GROUP", "w", f"{consumer.id}.wait", "STREAMS", name, ">")
        assert reply

        (delivery,) = await consumer.receive(1, timeout=0)

        await consumer.settle([Settlement(delivery)])
    await settled(own_namespace)


async def test_what_a_read_has_brought_is_handed_out_once_though_it_is_audited(
    own: RedisServer, own_broker: RedisBroker, own_namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step that takes it over from the read must not find it again as what the consumer holds unknown."""
    monkeypatch.setattr("aioqueue.adapters.redis.consumer._AUDIT", -1.0)
    async with own_broker.consume([QUEUE], prefetch=5, lease=15.0, worker="w") as consumer:
        waiting = asyncio.create_task(consumer.receive(5, timeout=5.0))
        await blocked(own)
        await own_broker.publish([message(QUEUE, tracked=False)])

        deliveries = await within(waiting)

        assert len(deliveries) == 1
        await consumer.settle([Settlement(delivery) for delivery in deliveries])
    await settled(own_namespace)


async def test_reads_that_nothing_ends_are_not_followed_by_a_look_each(
    own_broker: RedisBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    async with own_broker.consume([QUEUE], prefetch=5, lease=15.0, worker="w") as consumer:
        assert isinstance(consumer, RedisConsumer)
        # the group may have to be made
        await consumer.receive(5, timeout=0.05)
        fetch = consumer._fetch

        async def counted(limit: int) -> tuple[list[Delivery], bool]:
            nonlocal looks
            looks += 1
            return await fetch(limit)

        monkeypatch.setattr(consumer, "_fetch", counted)
        for _ in range(5):
            assert await consumer.receive(5, timeout=0.05) == []

    # one before each of them
    assert 5 <= looks < 10


async def test_wake_ends_a_receive_at_once_whatever_it_is_at(own_broker: RedisBroker) -> None:
    """Also while the blocked read has not been sent, as the connection for it is being made."""
    loop = asyncio.get_running_loop()
    took = []
    async with own_broker.consume([QUEUE], prefetch=1, lease=15.0, worker="w") as consumer:
        for steps in range(40):
            receiving = asyncio.create_task(consumer.receive(1, timeout=5.0))
            for _ in range(steps):
                await asyncio.sleep(0)
            woken = loop.time()
            consumer.wake()
            assert await within(receiving) == []
            took.append(loop.time() - woken)

    assert max(took) < 1.0

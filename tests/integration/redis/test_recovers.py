"""What a Redis server can do to a worker: forget scripts and groups, restart, stand still, hang up."""

from __future__ import annotations

import asyncio
import random

import pytest

from aioqueue.errors import BrokerUnavailableError
from aioqueue.ids import new_id
from tests.integration.redis.apparatus import (
    QUEUE,
    Counted,
    Namespace,
    blocked,
    insisting,
    kept,
    settled,
)
from tests.support.redis_server import HOST, RedisServer
from tests.support.waiting import eventually, pause, within

pytestmark = pytest.mark.anyio


async def test_forgotten_scripts_are_sent_again(own: RedisServer, own_counted: Counted) -> None:
    async with own_counted.server.worker():
        results = await own_counted.send(100, 0.002)
        for _ in range(20):
            own.command("SCRIPT", "FLUSH")
            results += await own_counted.server.send_many([own_counted.call(100 + len(results))])
            await pause()

        await within(kept(results))

    assert max(own_counted.runs.values()) == 1
    assert sum(own_counted.runs.values()) == 120


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_worker_goes_on_after_flushall(own: RedisServer, own_counted: Counted) -> None:
    async with own_counted.server.worker():
        await blocked(own)
        own.command("FLUSHALL")

        (result,) = await own_counted.send(1)

        assert await within(result.get()) == 0


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_flushall_while_tasks_run_ends_nothing_but_them(own: RedisServer, own_counted: Counted) -> None:
    async with own_counted.server.worker():
        await own_counted.send(10, 0.3)
        await eventually(lambda: len(own_counted.running) == 10)
        own.command("FLUSHALL")

        result = await own_counted.server.send(own_counted.call(99))

        assert await within(result.get()) == 99


async def test_tasks_that_wait_run_when_their_group_is_gone(namespace: Namespace, counted: Counted) -> None:
    async with counted.server.worker(concurrency=1):
        results = await counted.send(20, 0.01)
        await eventually(lambda: len(counted.runs) >= 3)
        namespace.server.command("XGROUP", "DESTROY", f"{namespace.prefix}q:{QUEUE}:0", "w")

        values = await within(kept(results[5:]))

    assert values == list(range(5, 20))


async def test_group_that_is_gone_while_a_worker_waits_is_made_again(
    own: RedisServer, own_counted: Counted, own_namespace: Namespace
) -> None:
    async with own_counted.server.worker():
        await blocked(own)
        own.command("XGROUP", "DESTROY", f"{own_namespace.prefix}q:{QUEUE}:0", "w")

        (result,) = await own_counted.send(1)

        assert await within(result.get(), deadline=2.0) == 0


async def test_stream_that_is_deleted_while_a_worker_waits_is_made_again(
    own: RedisServer, own_counted: Counted, own_namespace: Namespace
) -> None:
    async with own_counted.server.worker():
        await blocked(own)
        own.command("DEL", *(own_namespace.prefix + key for key in own_namespace.keys("q:*")))

        (result,) = await own_counted.send(1)

        assert await within(result.get(), deadline=2.0) == 0


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_server_that_dies_while_a_worker_waits_comes_back_to_it(
    own: RedisServer, own_counted: Counted, own_namespace: Namespace
) -> None:
    async with own_counted.server.worker(lease=8.0):
        await blocked(own)
        own.kill()
        await pause(0.5)
        await asyncio.to_thread(own.start)

        calls = [own_counted.call(number, id=new_id()) for number in range(5)]
        values = await within(kept(await insisting(own_counted.server, calls)))

    assert values == list(range(5))
    assert own_counted.ran_once(5)
    await settled(own_namespace)


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_server_that_dies_at_work_runs_every_task_once(
    own: RedisServer, own_counted: Counted, own_namespace: Namespace
) -> None:
    own.command("CONFIG", "SET", "appendfsync", "always")
    async with own_counted.server.worker(lease=8.0, concurrency=10):
        results = await own_counted.send(100, 0.05)
        await eventually(lambda: len(own_counted.runs) >= 30)
        own.kill()
        await pause(0.3)
        await asyncio.to_thread(own.start)

        values = await within(kept(results), deadline=20)

    assert values == list(range(100))
    assert own_counted.ran_once(100)
    await settled(own_namespace)


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_server_that_stands_still_below_the_lease_costs_nothing(
    own: RedisServer, own_counted: Counted, own_namespace: Namespace
) -> None:
    async with own_counted.server.worker(lease=8.0, concurrency=10):
        results = await own_counted.send(50, 0.05)
        await eventually(lambda: len(own_counted.runs) >= 15)
        own.pause()
        try:
            await pause(2.5)
        finally:
            own.resume()

        values = await within(kept(results), deadline=20)

    assert values == list(range(50))
    assert own_counted.ran_once(50)
    await settled(own_namespace)


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_server_that_is_read_only_for_a_while_costs_nothing(
    own: RedisServer, own_counted: Counted, own_namespace: Namespace
) -> None:
    """As it is in a failover, until the new primary is found."""
    async with own_counted.server.worker(lease=8.0, concurrency=10):
        results = await own_counted.send(50, 0.1)
        await eventually(lambda: len(own_counted.runs) >= 15)
        own.command("REPLICAOF", HOST, 1)
        with pytest.raises(BrokerUnavailableError, match="read only"):
            await own_counted.server.send(own_counted.call(50))
        own.command("REPLICAOF", "NO", "ONE")

        values = await within(kept(results), deadline=20)

    assert values == list(range(50))
    assert own_counted.ran_once(50)
    await settled(own_namespace)


async def test_all_connections_killed_again_and_again_lose_and_double_nothing(
    own: RedisServer, own_counted: Counted, own_namespace: Namespace
) -> None:
    async with own_counted.server.worker(lease=8.0, concurrency=20):
        calls = [own_counted.call(number, 0.02, id=new_id()) for number in range(500)]
        results = await insisting(own_counted.server, calls)
        for _ in range(15):
            own.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            own.command("CLIENT", "KILL", "TYPE", "pubsub")
            await pause(0.04)

        values = await within(kept(results), deadline=20)

    assert values == list(range(500))
    assert own_counted.ran_once(500)
    await settled(own_namespace)


async def test_cancelled_sends_leave_no_damage(counted: Counted, namespace: Namespace) -> None:
    dice = random.Random(7)
    async with counted.server.worker(concurrency=20):
        for number in range(200):
            sending = asyncio.create_task(counted.server.send(counted.call(1_000 + number)))
            for _ in range(dice.randrange(12)):
                await asyncio.sleep(0)
            if dice.random() < 0.3:
                await pause(dice.random() * 0.002)
            sending.cancel()
            if number % 10 == 0:
                result = await within(counted.server.send(counted.call(number)))
                assert await within(result.get()) == number

        values = await within(kept(await counted.send(100)))

    assert values == list(range(100))
    assert all(runs == 1 for number, runs in counted.runs.items() if number >= 1_000)
    await settled(namespace)

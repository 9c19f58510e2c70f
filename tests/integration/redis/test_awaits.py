"""Awaits: ten thousand at once share one subscription, and outlive what happens to it."""

from __future__ import annotations

import asyncio
import random

import pytest

from aioqueue import AsyncResult, Server, Signature, results
from tests.integration.redis.apparatus import Counted, settled
from tests.integration.redis.apparatus import Namespace as Keys
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually, pause, under_way, within

pytestmark = pytest.mark.anyio

TASKS, LAST, BATCH = 10_000, 100, 500
CONNECTIONS, SOON = 2, 10.0


def connections(server: RedisServer) -> int:
    """Return how many clients the server has, this one apart."""
    return int(server.command("CLIENT", "LIST").count(b"\n")) - 1


def cut_subscriptions(server: RedisServer) -> int:
    """Hang up on who is subscribed; return how many that were."""
    return int(server.command("CLIENT", "KILL", "TYPE", "pubsub"))


def subscribed(server: RedisServer) -> int:
    """Return how many channels there are of tasks that are waited for."""
    return len(server.command("PUBSUB", "CHANNELS", "*done:*"))


class Held:
    """A Server whose last tasks end when they are let."""

    def __init__(self, url: str) -> None:
        self.server = Server(url)
        self.gate = asyncio.Event()
        self.server.register_task("late", self.late)

    async def late(self, number: int) -> int:
        """Return the number; of the last ones when they may."""
        if number >= TASKS - LAST:
            await self.gate.wait()
        return number

    async def send(self) -> list[AsyncResult[int]]:
        """Send all of them."""
        sent: list[AsyncResult[int]] = []
        for start in range(0, TASKS, BATCH):
            calls = [Signature[int](name="late", args=(n,)) for n in range(start, start + BATCH)]
            sent += await self.server.send_many(calls)
        return sent


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_ten_thousand_awaits_take_one_connection_and_outlive_its_cuts(
    own: RedisServer, own_url: str, own_namespace: Keys
) -> None:
    loop, dice = asyncio.get_running_loop(), random.Random(3)
    held, waiter = Held(own_url), Server(own_url)
    async with held.server, waiter:
        sent = await held.send()
        before = connections(own)
        awaits = [asyncio.create_task(waiter.result(each.id, returns=int).get()) for each in sent]
        await eventually(lambda: subscribed(own) == TASKS)
        during = connections(own)

        async with held.server.worker(concurrency=300) as worker:
            while worker.done < TASKS - LAST:
                cut_subscriptions(own)
                await pause(dice.uniform(0.05, 0.4))
            cut_subscriptions(own)
            held.gate.set()
            while worker.done < TASKS:
                await pause(0.002)
                cut_subscriptions(own)
            ended = loop.time()
            values = await within(asyncio.gather(*awaits), deadline=SOON + 5)
            took = loop.time() - ended
    print(f"{TASKS} awaits, {during - before} connections more, over {took:.2f} s after the last commit")

    assert values == list(range(TASKS))
    assert during - before <= CONNECTIONS
    assert took <= SOON
    await settled(own_namespace)


async def test_result_is_told_at_once_and_not_by_looking(url: str) -> None:
    counted = Counted(url)
    async with counted.server:
        (result,) = await counted.send(1, 0.05)
        waiting = await under_way(result.get())

        async with counted.server.worker():
            assert await within(waiting, deadline=2.0) == 0


async def test_many_awaits_of_one_task_are_all_answered(url: str) -> None:
    counted = Counted(url)
    async with counted.server:
        (result,) = await counted.send(1, 0.05)
        waiting = [asyncio.create_task(counted.server.result(result.id).get()) for _ in range(100)]
        async with counted.server.worker():
            assert await within(asyncio.gather(*waiting), deadline=2.0) == [0] * 100


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_abandoned_awaits_leave_no_subscription(own: RedisServer, own_url: str) -> None:
    counted = Counted(own_url)
    async with counted.server:
        sent = await counted.send(50)
        waiting = [asyncio.create_task(each.get()) for each in sent]
        await eventually(lambda: subscribed(own) == 50)
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)

        await eventually(lambda: subscribed(own) == 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_await_outlives_a_server_that_is_away_for_some_seconds(
    own: RedisServer, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever moment of its rounds that is: only 10 s are too long."""
    monkeypatch.setattr(results, "ROUND", 0.5)
    counted = Counted(own_url)
    async with counted.server:
        (result,) = await counted.send(1)
        waiting = await under_way(result.get())
        await asyncio.to_thread(own.kill)
        await pause(4.5)
        await asyncio.to_thread(own.start)

        async with counted.server.worker():
            assert await within(waiting) == 0


async def test_process_that_sends_and_awaits_has_two_connections(own: RedisServer, own_url: str) -> None:
    counted = Counted(own_url)
    async with counted.server:
        before = connections(own)
        results = await counted.send(5)
        waiting = [await under_way(result.get()) for result in results]
        during = connections(own)
        for each in waiting:
            each.cancel()

    assert (before, during) == (1, 2)

"""Delays: a task is made ready when it is due, whoever is blocked, and once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from aioqueue import Server, Signature
from aioqueue.adapters.redis import connect
from aioqueue.adapters.redis.broker import RedisBroker
from aioqueue.protocols.messages import OPEN_TTL
from tests.integration.redis.apparatus import QUICK, Namespace, blocked, kept, settled
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually, pause, within

pytestmark = pytest.mark.anyio

LATE, ROUNDS = 0.3, 5
"""Seconds, in one of so many rounds: what is later in some of them is so by the machine."""


class Timed:
    """A Server whose tasks note when they ran."""

    def __init__(self, url: str) -> None:
        self.server = Server(url, **QUICK)
        self.ran: list[tuple[int, float]] = []
        self.server.register_task("note", self.note)

    async def note(self, number: int) -> int:
        """Note the moment."""
        self.ran.append((number, time.time()))
        return number

    def call(self, number: int, **when: object) -> Signature[int]:
        """Return a call for a time."""
        return Signature(name="note", args=(number,), **when)  # type: ignore[arg-type]  # any field


async def test_delayed_task_runs_when_due_though_all_workers_are_blocked(
    own: RedisServer, own_url: str, own_namespace: Namespace
) -> None:
    timed, late = Timed(own_url), list[float]()
    async with timed.server, timed.server.worker(), timed.server.worker():
        while len(late) < ROUNDS and min(late, default=LATE) >= LATE:
            await blocked(own, 2)
            due = time.time() + 0.5

            result = await timed.server.send(timed.call(1, delay=0.5))

            assert await within(result.get()) == 1
            late.append(timed.ran[-1][1] - due)
    assert len(timed.ran) == len(late)
    assert -0.01 <= min(late) < LATE
    await settled(own_namespace)


async def test_earlier_task_that_is_sent_later_runs_first(own: RedisServer, own_url: str) -> None:
    timed, late = Timed(own_url), list[float]()
    async with timed.server, timed.server.worker():
        while len(late) < ROUNDS and min(late, default=LATE) >= LATE:
            timed.ran.clear()
            await blocked(own, 1)
            now = datetime.now(UTC)
            afters = ((3, 0.9), (1, 0.3), (2, 0.6))
            etas = {number: now + timedelta(seconds=after) for number, after in afters}

            results = [await timed.server.send(timed.call(number, eta=eta)) for number, eta in etas.items()]
            await within(kept(results))

            lates = [ran - etas[number].timestamp() for number, ran in timed.ran]
            assert min(lates) >= -0.01
            late.append(max(lates))

    assert [number for number, _ in timed.ran] == [1, 2, 3]
    assert min(late) < LATE


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_earlier_task_of_another_process_wakes_who_sleeps(own: RedisServer, own_url: str) -> None:
    timed, sender = Timed(own_url), Timed(own_url)
    async with timed.server, sender.server, timed.server.worker():
        await sender.server.send(sender.call(9, delay=3_600))
        await blocked(own, 1)

        result = await sender.server.send(sender.call(1, delay=0.2))

        # a read blocks for five seconds
        assert await within(result.get(), deadline=3.0) == 1


async def test_thousand_tasks_due_at_one_moment_run_once_each(url: str, namespace: Namespace) -> None:
    timed = Timed(url)
    async with timed.server, timed.server.worker(), timed.server.worker():
        eta = datetime.now(UTC) + timedelta(seconds=1)
        results = []
        for start in range(0, 1_000, 200):
            calls = [timed.call(number, eta=eta) for number in range(start, start + 200)]
            results += await timed.server.send_many(calls)

        await within(kept(results))

    assert sorted(number for number, _ in timed.ran) == list(range(1_000))
    assert all(ran >= eta.timestamp() - 0.01 for _, ran in timed.ran)
    await settled(namespace)


async def test_promotion_by_two_at_once_doubles_nothing(url: str, namespace: Namespace) -> None:
    timed = Timed(url)
    async with timed.server, AsyncExitStack() as stack:
        await timed.server.send_many([timed.call(number, delay=0.1) for number in range(200)])
        brokers = [await stack.enter_async_context(opened(url)) for _ in range(2)]
        await pause(0.2)

        await within(asyncio.gather(*(broker._access.script("promote", "default") for broker in brokers)))

        assert namespace.entries() == {"q:default:0": 200}
        async with timed.server.worker() as worker:
            await eventually(lambda: worker.done == 200)
    assert sorted(number for number, _ in timed.ran) == list(range(200))


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[RedisBroker]:
    """Return an open broker."""
    broker = connect(url).broker
    assert isinstance(broker, RedisBroker)
    await broker.open()
    yield broker
    await broker.close()


async def test_keys_of_a_delayed_task_lapse_by_themselves(url: str, namespace: Namespace) -> None:
    timed = Timed(url)
    async with timed.server:
        await timed.server.send(timed.call(1, delay=3_600))

    keys = [*namespace.keys("m:*"), *namespace.keys("t:*")]
    left = [namespace.server.command("PTTL", namespace.prefix + key) / 1000 for key in keys]
    assert len(keys) == 2
    # the record of what is new has a day more
    assert all(OPEN_TTL + 3_500 < each <= OPEN_TTL + 3_601 + 86_400 for each in left)

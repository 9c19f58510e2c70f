"""Replies: a sender that waits for its own tasks is told of them on one channel, and reads nothing for it."""

from __future__ import annotations

import asyncio

import pytest

from aioqueue import Server, Signature
from aioqueue.adapters.redis import replies
from aioqueue.errors import ResultTimeoutError, TaskCancelledError, TaskFailedError
from aioqueue.worker import watch
from tests.integration.redis.apparatus import Counted, prefix_of
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually, under_way, within

pytestmark = pytest.mark.anyio

LARGE = 100_000
"""Characters of a value that is told of and has to be read."""


def commands(server: RedisServer, *names: str) -> dict[str, int]:
    """Return how often each command was called so far."""
    stats = server.info("commandstats")
    return {name: int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in names}


async def expected(server: RedisServer, counted: Counted, url: str) -> None:
    """Return once whoever sends through *counted* is told on a channel of its own."""
    (first,) = await counted.send(1)
    async with counted.server.worker():
        await within(first.get())
    pattern = f"{prefix_of(url)}to:*"
    await eventually(lambda: len(server.command("PUBSUB", "CHANNELS", pattern)) == 1)


async def test_own_tasks_are_awaited_without_a_subscription_or_a_read(
    own: RedisServer, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a machine that stands still for a moment is not the subject, nor are waits of the worker's own
    monkeypatch.setattr(replies, "_SOON", 30.0)
    monkeypatch.setattr(watch, "_LOOK", 30.0)
    counted = Counted(own_url)
    async with counted.server:
        await expected(own, counted, own_url)
        async with counted.server.worker():
            await within((await counted.server.send(counted.call(0))).get())
            before = commands(own, "subscribe", "hmget")
            for number in range(20):
                result = await counted.server.send(counted.call(number))
                assert await within(result.get()) == number
            after = commands(own, "subscribe", "hmget")

    assert after["subscribe"] == before["subscribe"]
    # one as it begins and one as it ends; who has to read needs a third
    assert after["hmget"] - before["hmget"] < 3 * 20


async def test_many_that_are_sent_at_once_are_told_of(shared: RedisServer, url: str) -> None:
    counted = Counted(url)
    async with counted.server:
        await expected(shared, counted, url)
        async with counted.server.worker():
            sent = await counted.send(100)
            assert await within(asyncio.gather(*sent)) == list(range(100))


async def test_result_that_came_before_anybody_waited_is_read(shared: RedisServer, url: str) -> None:
    counted = Counted(url)
    async with counted.server:
        await expected(shared, counted, url)
        async with counted.server.worker() as worker:
            (result,) = await counted.send(1)
            await eventually(lambda: worker.done == 1)
            assert await within(result.get()) == 0
            assert await within(result.get()) == 0


async def test_value_that_is_too_long_to_be_told_is_read(shared: RedisServer, url: str) -> None:
    counted = Counted(url)

    @counted.server.task
    async def large() -> str:
        return "x" * LARGE

    async with counted.server:
        await expected(shared, counted, url)
        async with counted.server.worker():
            assert await within((await large.send()).get()) == "x" * LARGE


async def test_failure_and_cancel_are_told_of_too(shared: RedisServer, url: str) -> None:
    counted = Counted(url)

    @counted.server.task
    async def fails() -> None:
        raise ValueError("no")

    async with counted.server, Server(url) as other:
        await expected(shared, counted, url)
        async with counted.server.worker():
            with pytest.raises(TaskFailedError, match="no"):
                await within((await fails.send()).get())
        (result,) = await counted.send(1)
        waiting = await under_way(result.get())
        assert (await other.result(result.id).cancel()).cancelled == (result.id,)
        with pytest.raises(TaskCancelledError):
            await within(waiting, deadline=3.0)


async def test_cut_of_the_subscription_hides_nothing(own: RedisServer, own_url: str) -> None:
    counted = Counted(own_url)
    async with counted.server:
        await expected(own, counted, own_url)
        sent = await counted.send(50)
        waiting = [asyncio.create_task(result.get()) for result in sent]
        await asyncio.sleep(0)
        assert int(own.command("CLIENT", "KILL", "TYPE", "pubsub")) >= 1
        async with counted.server.worker():
            # sooner than anybody looks without being told
            assert await within(asyncio.gather(*waiting), deadline=4.5) == list(range(50))


async def test_call_that_another_has_sent_is_awaited_as_by_anybody_else(
    shared: RedisServer, url: str
) -> None:
    counted = Counted(url)
    async with counted.server, Server(url) as other:
        await expected(shared, counted, url)
        await other.send(Signature[int](name="work", args=(7,), id="given"))
        result = await counted.server.send(counted.call(8, id="given"))
        waiting = await under_way(result.get())
        async with counted.server.worker():
            assert (result.created, await within(waiting)) == (False, 7)


async def test_one_id_that_is_sent_twice_at_once_is_one_task(shared: RedisServer, url: str) -> None:
    counted = Counted(url)
    async with counted.server:
        await expected(shared, counted, url)
        both = await counted.server.send_many([counted.call(5, id="twice"), counted.call(6, id="twice")])
        async with counted.server.worker():
            assert await within(asyncio.gather(*(result.get() for result in both))) == [5, 5]
    assert counted.runs[5] == 1


async def test_id_that_is_forgotten_and_sent_again_gives_the_second_value(
    shared: RedisServer, url: str
) -> None:
    counted = Counted(url)
    async with counted.server:
        await expected(shared, counted, url)
        async with counted.server.worker():
            for number in range(10):
                result = await counted.server.send(counted.call(number, id="again"))
                assert await within(result.get()) == number
                await result.forget()


async def test_wait_that_looks_once_leaves_the_next_one_to_be_told(shared: RedisServer, url: str) -> None:
    counted = Counted(url)
    async with counted.server:
        await expected(shared, counted, url)
        (result,) = await counted.send(1)
        with pytest.raises(ResultTimeoutError):
            await result.get(timeout=0)
        waiting = await under_way(result.get())
        waiting.cancel()
        async with counted.server.worker():
            assert await within(result.get()) == 0

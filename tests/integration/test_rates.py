"""rate_limit, max_running, limit_by: they hold over all workers, and what waits holds up nobody."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from aioqueue import RetryPolicy, Server, State, current
from aioqueue.errors import ConfigurationError, TaskCancelledError, TaskExpiredError
from aioqueue.ids import new_id
from aioqueue.protocols.broker import Broker
from aioqueue.protocols.capabilities import Capabilities
from aioqueue.stores import stores_of
from aioqueue.testing import VirtualClock
from aioqueue.worker.options import WorkerOptions
from aioqueue.worker.worker import Worker
from tests.support.counting import counts
from tests.support.waiting import eventually, pause, within

pytestmark = pytest.mark.anyio


class Crowd:
    """How many are in it, and how many were at most."""

    def __init__(self) -> None:
        self.inside = self.most = self.came = 0

    def __enter__(self) -> None:
        self.came += 1
        self.inside += 1
        self.most = max(self.most, self.inside)

    def __exit__(self, *_: object) -> None:
        self.inside -= 1


async def test_a_hundred_a_second_over_four_workers() -> None:
    clock = VirtualClock()
    server = Server(f"memory://{new_id()}", clock=clock)
    starts: list[float] = []

    @server.task(rate_limit="100/s")
    async def tick() -> None:
        starts.append(clock.time())

    began = clock.time()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(server)
        await server.send_many([tick.s() for _ in range(700)])
        for _ in range(4):
            await stack.enter_async_context(server.worker(concurrency=25))
        for _ in range(50):
            await clock.advance(0.1)
            await pause(0)

        assert abs(sum(at - began < 5.0 for at in starts) - 500) <= 5
    for second in range(4):
        assert abs(sum(second <= at - began < second + 1 for at in starts) - 100) <= 5


async def test_no_more_run_at_once_than_may_over_several_workers(server: Server) -> None:
    crowd = Crowd()

    @server.task(max_running=2)
    async def work(number: int) -> int:
        with crowd:
            await asyncio.sleep(0.01)
        return number

    async with server, server.worker(concurrency=10), server.worker(concurrency=10):
        results = await server.send_many([work.s(n) for n in range(12)])
        values = [await within(result.get()) for result in results]

    assert values == list(range(12))
    assert crowd.most == 2


async def test_others_are_not_held_up(opened: Server) -> None:
    go = asyncio.Event()

    @opened.task(max_running=1)
    async def slow() -> None:
        await go.wait()

    @opened.task(rate_limit="1/h")
    async def rare() -> str:
        return "rare"

    @opened.task
    async def quick() -> str:
        return "quick"

    held = await opened.send_many([slow.s() for _ in range(5)])
    seldom = await opened.send_many([rare.s() for _ in range(5)])
    async with opened.worker(concurrency=3):
        assert await within((await quick.send()).get()) == "quick"
        assert await within(seldom[0].get()) == "rare"
        waiting = await seldom[1].state()
        go.set()
        for result in held:
            await within(result.get())

    assert (waiting.state, waiting.attempt) == (State.PENDING, 1)


async def test_each_value_of_the_argument_has_the_limits_for_itself(opened: Server) -> None:
    crowds = {"a": Crowd(), "b": Crowd()}
    both = asyncio.Event()

    @opened.task(max_running=1, limit_by="tenant")
    async def report(month: int, tenant: str = "a") -> None:
        with crowds[tenant]:
            if all(crowd.inside for crowd in crowds.values()):
                both.set()
            await both.wait()

    async with opened.worker(concurrency=10):
        calls = [report.s(1), report.s(2, tenant="a"), report.s(1, "b"), report.s(2, "b")]
        for result in await opened.send_many(calls):
            await within(result.get())

    assert [crowd.most for crowd in crowds.values()] == [1, 1]


async def test_slot_is_free_while_a_retry_waits(opened: Server) -> None:
    @opened.task(max_running=1, retry=RetryPolicy(max_retries=1, delay=60.0, jitter=False))
    async def flaky(number: int) -> int:
        if number == 0 and current().attempt == 1:
            raise ConnectionError("not yet")
        return number

    async with opened.worker():
        first, second = await opened.send_many([flaky.s(0), flaky.s(1)])

        assert await within(second.get()) == 1
        assert (await first.state()).state is State.RETRY


async def test_what_waits_is_cancelled_as_ever(opened: Server) -> None:
    go = asyncio.Event()

    @opened.task(max_running=1)
    async def slow() -> None:
        await go.wait()

    first, second, third = await opened.send_many([slow.s() for _ in range(3)])
    async with opened.worker():
        await eventually(lambda: _delayed(opened, 2))
        await second.cancel()
        with pytest.raises(TaskCancelledError):
            await within(second.get())
        go.set()

        await within(first.get())
        await within(third.get())


async def test_what_waits_too_long_expires() -> None:
    clock = VirtualClock()
    server = Server(f"memory://{new_id()}", clock=clock)

    @server.task(rate_limit="1/m")
    async def rare() -> None:
        pass

    async with server, server.worker(lease=600):
        await rare.send()
        late = await rare.options(expires=30).send()
        for _ in range(70):
            await clock.advance(1.0)

        with pytest.raises(TaskExpiredError):
            await within(late.get())


async def test_worker_that_stops_when_idle_does_all_that_waits_for_a_slot(opened: Server) -> None:
    @opened.task(max_running=1)
    async def one(number: int) -> int:
        return number

    results = await opened.send_many([one.s(n) for n in range(6)])
    await within(opened.worker(concurrency=4).run(until_idle=True))

    assert [(await result.state()).result for result in results] == list(range(6))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rate_limit": "fast"}, "option 'rate_limit'.*must be as '100/s'"),
        ({"rate_limit": 100}, "option 'rate_limit'.*must be as '100/s'"),
        ({"rate_limit": ()}, "option 'rate_limit'.*must be as '100/s'"),
        ({"max_running": 0}, "option 'max_running'.*greater than or equal to 1"),
        ({"limit_by": "number"}, "limit_by='number' limits nothing by itself"),
        (
            {"limit_by": "tenant", "max_running": 1},
            "limit_by='tenant' is no parameter of it; there are number",
        ),
    ],
)
def test_what_cannot_be_is_told_where_it_is_written(options: dict[str, Any], said: str) -> None:
    def task(number: int) -> int:
        return number

    with pytest.raises(ConfigurationError, match=said):
        Server("memory://wrong").register_task("task", task, **options)


async def test_a_broker_without_limits_is_told_at_the_start() -> None:
    server = Server(f"memory://{new_id()}")

    @server.task(max_running=1)
    async def one() -> None:
        pass

    stores = stores_of(server.settings)
    without = replace(stores, broker=_Plain(stores.broker))
    worker = Worker(server, server, without, WorkerOptions.checked(server.settings, {}))

    with pytest.raises(ConfigurationError, match=r"task 'one' has limits, and memory://.* keeps none"):
        await worker.run()


class _Plain:
    """A broker that says that it keeps no limits."""

    def __init__(self, real: Broker) -> None:
        self._real = real
        self.capabilities = Capabilities("plain", limits=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


async def _delayed(server: Server, count: int) -> bool:
    return (await counts(server.stores.broker, "default")).delayed == count

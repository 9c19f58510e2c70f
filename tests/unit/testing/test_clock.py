"""VirtualClock: what a waiter of it can rely on."""

from __future__ import annotations

import asyncio

import pytest

from aioqueue.clock import Clock
from aioqueue.testing import VirtualClock

pytestmark = pytest.mark.anyio

START = 1_000.0


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


async def test_it_is_a_clock_that_stands_still(clock: VirtualClock) -> None:
    as_clock: Clock = clock

    assert as_clock.time() == as_clock.time() == START


async def test_time_is_told_in_other_threads(clock: VirtualClock) -> None:
    await clock.advance(5)

    assert await asyncio.to_thread(clock.time) == START + 5


async def test_event_that_is_set_needs_no_wait(clock: VirtualClock) -> None:
    event = asyncio.Event()
    event.set()

    assert await clock.wait(event, until=START - 1)


async def test_moment_that_is_over_ends_the_wait_at_once(clock: VirtualClock) -> None:
    async with asyncio.timeout(5):
        came = await clock.wait(asyncio.Event(), until=START)

    assert not came
    assert clock.time() == START


async def test_wait_for_a_past_moment_lets_the_loop_turn(clock: VirtualClock) -> None:
    turned = asyncio.Event()
    asyncio.get_running_loop().call_soon(turned.set)

    await clock.wait(asyncio.Event(), until=START)

    assert turned.is_set()


async def test_event_ends_the_wait_without_time_passing(clock: VirtualClock) -> None:
    event = asyncio.Event()
    waiter = asyncio.create_task(clock.wait(event, until=START + 60))
    await asyncio.sleep(0)

    event.set()

    assert await waiter
    assert clock.time() == START
    assert clock.waiting == 0


async def test_wait_ends_at_its_moment_and_not_before(clock: VirtualClock) -> None:
    waiter = asyncio.create_task(clock.wait(asyncio.Event(), until=START + 10))

    await clock.advance(9.9)
    early = waiter.done()
    await clock.advance(0.1)

    assert not early
    assert not await waiter


async def test_wait_without_a_moment_ends_by_its_event_alone(clock: VirtualClock) -> None:
    event = asyncio.Event()
    waiter = asyncio.create_task(clock.wait(event, until=None))

    await clock.advance(1e9)
    early = waiter.done()
    event.set()

    assert not early
    assert await waiter


async def test_advance_stops_at_each_moment_in_order(clock: VirtualClock) -> None:
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, until: float) -> None:
        await clock.wait(asyncio.Event(), until=until)
        woken.append((name, clock.time()))

    async with asyncio.TaskGroup() as group:
        group.create_task(sleeper("late", START + 3))
        group.create_task(sleeper("early", START + 1))
        group.create_task(sleeper("also early", START + 1))
        await clock.advance(5)

    assert woken == [("early", START + 1), ("also early", START + 1), ("late", START + 3)]
    assert clock.time() == START + 5


async def test_moments_that_a_woken_waiter_asks_for_are_kept_in_the_same_advance(clock: VirtualClock) -> None:
    ticks: list[float] = []

    async def ticker() -> None:
        while len(ticks) < 5:
            await clock.wait(asyncio.Event(), until=clock.time() + 1)
            ticks.append(clock.time() - START)

    task = asyncio.create_task(ticker())
    await clock.advance(5)

    assert ticks == [1, 2, 3, 4, 5]
    await task


async def test_event_set_in_the_moment_itself_wins(clock: VirtualClock) -> None:
    event = asyncio.Event()
    first = asyncio.create_task(clock.wait(asyncio.Event(), until=START + 1))
    first.add_done_callback(lambda _: event.set())
    second = asyncio.create_task(clock.wait(event, until=START + 2))

    await clock.advance(1)

    assert second.done()
    assert await second


async def test_cancelled_wait_leaves_nothing_behind(clock: VirtualClock) -> None:
    waiter = asyncio.create_task(clock.wait(asyncio.Event(), until=START + 60))
    await asyncio.sleep(0)
    held = clock.waiting

    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter

    assert held == 1
    assert clock.waiting == 0


async def test_time_does_not_go_back(clock: VirtualClock) -> None:
    with pytest.raises(ValueError, match="back"):
        await clock.advance(-1)

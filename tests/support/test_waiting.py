"""Waiting in tests: each function fails when what it waits for does not come."""

from __future__ import annotations

import asyncio
import threading

import pytest

from aioqueue.ids import new_id
from aioqueue.testing import VirtualClock
from tests.support.stores import BUILT_IN, broker_of, place
from tests.support.waiting import eventually, message, passing, take, under_way, within

pytestmark = pytest.mark.anyio


async def _true() -> bool:
    return True


async def test_eventually_takes_plain_and_awaited_answers() -> None:
    answers = iter([False, False, True])

    await eventually(lambda: next(answers))
    await eventually(_true)

    assert list(answers) == []


async def test_eventually_fails_at_its_deadline() -> None:
    with pytest.raises(pytest.fail.Exception, match="did not come true"):
        await eventually(lambda: False, deadline=0.05)


async def test_within_fails_at_its_deadline() -> None:
    with pytest.raises(TimeoutError):
        await within(asyncio.Event().wait(), deadline=0.05)


async def test_time_in_which_everything_stands_still_does_not_use_up_a_deadline() -> None:
    came = asyncio.Event()

    def stand_still() -> None:
        threading.Event().wait(1.0)
        asyncio.get_running_loop().call_later(0.01, came.set)

    asyncio.get_running_loop().call_soon(stand_still)

    assert await within(came.wait(), deadline=0.6)


async def test_passing_moves_the_clock_until_the_thing_is_done() -> None:
    clock = VirtualClock(0.0)

    came = await passing(clock, clock.wait(asyncio.Event(), until=2.0))

    assert not came
    assert clock.time() == 2.0


async def test_passing_fails_when_its_time_is_over() -> None:
    clock = VirtualClock()

    with pytest.raises(pytest.fail.Exception, match="is not done"):
        await passing(clock, asyncio.Event().wait(), seconds=1)


async def test_under_way_fails_when_nothing_is_waited_for() -> None:
    with pytest.raises(pytest.fail.Exception, match="did not wait"):
        await under_way(_true())


async def test_take_fails_at_its_deadline(tmp_path_factory: pytest.TempPathFactory) -> None:
    queue = f"queue-{new_id()}"
    site = place(BUILT_IN[0], tmp_path_factory.mktemp("store"), VirtualClock())
    async with site.opened() as adapter:
        broker = broker_of(adapter)
        await broker.publish([message(queue)])
        async with broker.consume([queue], prefetch=9, lease=600, worker="w") as consumer:
            with pytest.raises(pytest.fail.Exception, match="got 1 of 2"):
                await take(consumer, 2, deadline=0.1)

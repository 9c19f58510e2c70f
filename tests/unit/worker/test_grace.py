"""Grace: how long a stop may still take."""

from __future__ import annotations

import asyncio

import pytest

from aioqueue.worker.grace import Grace
from tests.support.waiting import within

pytestmark = pytest.mark.anyio


async def test_nobody_is_hurried_before_a_stop_is_asked_for() -> None:
    grace, over = Grace(), asyncio.Event()
    waiting = asyncio.create_task(grace.spares(asyncio.create_task(over.wait()), parting=0.0))

    over.set()

    assert await within(waiting)
    assert not grace.over


async def test_stop_is_heard_by_who_waits_already_and_a_shorter_one_too() -> None:
    grace = Grace()
    never = asyncio.create_task(asyncio.Event().wait())
    waiting = [asyncio.create_task(grace.spares(never, parting=0.0)) for _ in range(3)]
    await asyncio.sleep(0)

    grace.ask(600)
    await asyncio.sleep(0)
    grace.ask(0)
    answers = await within(asyncio.gather(*waiting))
    never.cancel()

    assert answers == [False, False, False]
    assert grace.over


async def test_longer_grace_does_not_undo_a_shorter_one() -> None:
    grace = Grace()

    grace.ask(0)
    grace.ask(600)

    assert grace.over

"""Run: how one attempt is interrupted."""

from __future__ import annotations

import asyncio

import pytest

from aioqueue.worker import run as room
from aioqueue.worker.run import Reason, Run
from tests.support.waiting import lent, message, within

pytestmark = pytest.mark.anyio


async def test_cancel_that_was_swallowed_is_repeated_until_the_code_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "_REPEATS", (0.01,))
    swallowed = 0

    async def deaf() -> None:
        nonlocal swallowed
        while swallowed < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1

    task = asyncio.create_task(deaf())
    run = Run(lent(message("q")), 0)
    run.attach(task)
    await asyncio.sleep(0)

    run.interrupt(Reason.STOP)
    await within(asyncio.wait([task]))
    run.close()

    assert swallowed == 3


async def test_stronger_reason_replaces_a_weaker_one_and_not_the_other_way() -> None:
    run = Run(lent(message("q")), 0)

    run.interrupt(Reason.TIMEOUT)
    run.interrupt(Reason.STOP)
    weaker = run.reason
    run.interrupt(Reason.LOST)

    assert (weaker, run.reason) == (Reason.TIMEOUT, Reason.LOST)


async def test_run_that_has_ended_is_not_interrupted() -> None:
    run = Run(lent(message("q")), 0)

    run.close()
    run.interrupt(Reason.LOST)

    assert run.reason is None

"""Tasks that are acknowledged early: what has begun is never run again."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from aioqueue import RetryPolicy, Router, Server
from aioqueue.errors import ConfigurationError, TaskFailedError
from tests.support.waiting import eventually, within

pytestmark = pytest.mark.anyio


async def test_task_that_a_stop_interrupts_has_failed_and_does_not_run_again(opened: Server) -> None:
    runs: list[str] = []

    @opened.task(acks="early")
    async def once() -> None:
        runs.append("once")
        await asyncio.Event().wait()

    @opened.task
    async def again() -> str:
        runs.append("again")
        if runs.count("again") == 1:
            await asyncio.Event().wait()
        return "again"

    first, second = await once.send(), await again.send()
    async with opened.worker(grace=0):
        await eventually(lambda: len(runs) == 2)
    await within(opened.worker().run(until_idle=True))

    with pytest.raises(TaskFailedError, match="worker lost") as caught:
        await within(first.get())
    assert caught.value.type == "WorkerLost"
    assert await within(second.get()) == "again"
    assert sorted(runs) == ["again", "again", "once"]


async def test_thread_that_outlives_its_worker_does_not_run_again(opened: Server) -> None:
    runs: list[int] = []
    go_on = threading.Event()

    @opened.task(acks="early")
    def once() -> None:
        runs.append(1)
        go_on.wait(60)

    result = await once.send()
    try:
        async with opened.worker(grace=0):
            await eventually(lambda: len(runs) == 1)
        with pytest.raises(TaskFailedError, match="worker lost"):
            await within(result.get())
        await within(opened.worker().run(until_idle=True))
    finally:
        go_on.set()

    assert runs == [1]


async def test_task_that_fails_is_tried_again_as_its_policy_says(opened: Server) -> None:
    runs: list[int] = []

    @opened.task(acks="early", retry=RetryPolicy(max_retries=1, delay=0.0))
    async def twice() -> int:
        runs.append(1)
        if len(runs) == 1:
            raise ConnectionError("not yet")
        return len(runs)

    result = await twice.send()
    await within(opened.worker().run(until_idle=True))

    assert await within(result.get()) == 2


def test_option_that_is_none_is_told_at_the_decorator() -> None:
    options: Any = {"acks": "never"}

    async def once() -> None:
        pass

    with pytest.raises(ConfigurationError, match="acks"):
        Router().task(**options)(once)

"""Timeouts, end to end: what ignores them, what asks for more, and what runs in threads and processes."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest

from aioqueue import RetryPolicy, Server, State, current
from aioqueue.errors import ConfigurationError, TaskCancelledError, TaskFailedError, TaskTimeoutError
from tests.support.waiting import eventually, within

pytestmark = pytest.mark.anyio


class Deaf:
    """A task that ignores cancels until it is let go."""

    def __init__(self, server: Server) -> None:
        self.cancels = 0
        self.began = self.ended = 0
        self.over = asyncio.Event()

        @server.task(timeout=0.1, retry=RetryPolicy(max_retries=0))
        async def deaf() -> str:
            self.began += 1
            while not self.over.is_set():
                try:
                    await self.over.wait()
                except asyncio.CancelledError:
                    self.cancels += 1
            self.ended += 1
            return "at last"

        @server.task
        async def quick() -> str:
            return "done"

        self.deaf, self.quick = deaf, quick


async def test_coroutine_that_ignores_its_timeout_is_left_to_itself_and_frees_its_slot(
    opened: Server, caplog: pytest.LogCaptureFixture
) -> None:
    deaf = Deaf(opened)
    async with opened.worker(concurrency=1, timeout_grace=0.2) as worker:
        result = await deaf.deaf.send()
        with pytest.raises(TaskTimeoutError, match=r"longer than its timeout of 0\.1 s"):
            await within(result.get())

        assert await within((await deaf.quick.send()).get()) == "done"
        assert deaf.ended == 0
        deaf.over.set()
        await eventually(lambda: deaf.ended == 1)
        await eventually(lambda: worker.running == 0)
    assert (await result.state()).state is State.FAILURE
    assert f"deaf[{result.id}]" in caplog.text
    assert "has ignored for 0.2 s that it was interrupted" in caplog.text


async def test_coroutine_that_ignores_a_cancel_frees_its_slot_too(opened: Server) -> None:
    deaf = Deaf(opened)
    async with opened.worker(concurrency=1, timeout_grace=0.2):
        result = await deaf.deaf.options(timeout=60).send()
        await eventually(lambda: deaf.began == 1)
        await result.cancel()
        with pytest.raises(TaskCancelledError):
            await within(result.get())

        assert await within((await deaf.quick.send()).get()) == "done"
        deaf.over.set()
        await eventually(lambda: deaf.ended == 1)
    assert (await result.state()).state is State.CANCELLED


async def test_task_that_asks_for_more_time_gets_it(opened: Server) -> None:
    @opened.task(timeout=0.3)
    async def slow(more: float) -> float:
        current().extend(more)
        await asyncio.sleep(0.6)
        return more

    @opened.task(timeout=0.3)
    def in_a_thread() -> str:
        current().extend(30)
        threading.Event().wait(0.6)
        return "done"

    async with opened.worker():
        results = await slow.send(30), await in_a_thread.send(), await slow.send(0.1)

        assert await within(results[0].get()) == 30
        assert await within(results[1].get()) == "done"
        with pytest.raises(TaskTimeoutError, match=r"timeout of 0\.3 s and the 0\.1 s it asked for"):
            await within(results[2].get())


async def test_time_that_is_none_is_told(opened: Server) -> None:
    @opened.task
    async def ask() -> None:
        current().extend(-1)

    async with opened.worker():
        with pytest.raises(TaskFailedError, match=r"extend\(\): must be 0 or more seconds"):
            await within((await ask.send()).get())


def hang_in_process(file: str) -> None:
    Path(file).write_text(str(os.getpid()))
    threading.Event().wait(60)


def beside_in_process(file: str) -> int:
    until = time.monotonic() + 30
    while not Path(file).exists() and time.monotonic() < until:
        threading.Event().wait(0.01)
    return os.getpid()


def extend_in_process() -> None:
    current().extend(1)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_process_that_runs_out_of_time_is_killed_and_its_neighbour_is_not(tmp_path: Path) -> None:
    async with Server("memory://") as server:
        hang = server.register_task("hang", hang_in_process, executor="process", timeout=3)
        beside = server.register_task("beside", beside_in_process, executor="process")
        pid, over = tmp_path / "pid", tmp_path / "over"
        async with server.worker() as worker:
            # as many processes as there are neighbours, however few the processors
            worker._pools._processes.total_tokens = 2
            # so that no process has to come up within the timeout
            there = tmp_path / "there"
            warm = [await beside.send(str(there)) for _ in range(2)]
            there.touch()
            await asyncio.gather(*(within(result.get(), deadline=60) for result in warm))
            neighbour = await beside.send(str(over))
            result = await hang.send(str(pid))
            with pytest.raises(TaskTimeoutError, match="its process was killed"):
                await within(result.get(), deadline=30)
            await eventually(lambda: gone(int(pid.read_text())))
            over.touch()

            assert await within(neighbour.get(), deadline=30) != int(pid.read_text())
            assert await within((await beside.send(str(over))).get(), deadline=30)


async def test_deadline_of_a_process_is_not_moved_and_says_so() -> None:
    async with Server("memory://") as server:
        task = server.register_task("extend", extend_in_process, executor="process", timeout=60)
        async with server.worker():
            with pytest.raises(TaskFailedError, match="needs a longer timeout") as failed:
                await within((await task.send()).get(), deadline=30)
    assert failed.value.type == ConfigurationError.__name__

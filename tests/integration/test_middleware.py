"""Middleware: what it sees of sends and of runs, and what it decides, on every pair of stores."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import replace
from typing import Any

import pytest

from aioqueue import (
    Context,
    Middleware,
    Reject,
    Retry,
    RetryPolicy,
    Server,
    Signature,
    chain,
    group,
)
from aioqueue.errors import (
    ResultNotFoundError,
    SignatureError,
    TaskCancelledError,
    TaskFailedError,
    TaskTimeoutError,
)
from aioqueue.ids import new_id
from aioqueue.middleware import Arguments, Calls, Run, Send, Sent
from aioqueue.models.state import CancelOutcome, State
from tests.integration.sums import Sums
from tests.support.waiting import eventually, within

pytestmark = pytest.mark.anyio


def pid_of_task() -> int:
    return os.getpid()


class Diary(Middleware):
    """Writes down, under its name, what it sees: names of what is sent, and how each run begins and ends."""

    def __init__(self, name: str, lines: list[str]) -> None:
        self.name = name
        self.lines = lines

    async def send(self, calls: Calls, next: Send, /) -> Sent:
        self.lines.append(f"{self.name} sends {' '.join(call.name for call in calls)}")
        results = await next(calls)
        self.lines.append(f"{self.name} has sent {len(results)}")
        return results

    async def run(self, context: Context, arguments: Arguments, next: Run, /) -> Any:
        self.lines.append(f"{self.name} runs {context.task_name}{arguments.args} {context.attempt}")
        try:
            value = await next(arguments)
        except BaseException as exc:
            self.lines.append(f"{self.name} sees {type(exc).__name__}")
            raise
        self.lines.append(f"{self.name} sees {value}")
        return value


class Refusal(Middleware):
    """Refuses to send."""

    async def send(self, calls: Calls, next: Send, /) -> Sent:
        raise PermissionError("not today")


class Raising(Middleware):
    """Raises, in a run, what it is given, one after the other; then lets it run."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    async def run(self, context: Context, arguments: Arguments, next: Run, /) -> Any:
        if self.errors:
            raise self.errors.pop(0)
        return await next(arguments)


class Changing(Middleware):
    """Adds a header to what is sent; adds one to the first argument, and ten to the value."""

    async def send(self, calls: Calls, next: Send, /) -> Sent:
        return await next([call.options(headers={"by": "a middleware"}) for call in calls])

    async def run(self, context: Context, arguments: Arguments, next: Run, /) -> Any:
        assert context.headers == {"by": "a middleware"}
        first, *others = arguments.args
        return 10 + await next(replace(arguments, args=(first + 1, *others)))


async def test_first_middleware_is_outermost(server: Server) -> None:
    lines: list[str] = []
    sums = Sums(server)
    server.add_middleware(Diary("outer", lines))
    server.add_middleware(Diary("inner", lines))
    async with server, server.worker():
        await within((await sums.add.send(1, 2)).get())

    assert sorted(lines) == sorted(
        [
            "outer sends add",
            "inner sends add",
            "inner has sent 1",
            "outer has sent 1",
            "outer runs add(1, 2) 1",
            "inner runs add(1, 2) 1",
            "inner sees 3",
            "outer sees 3",
        ]
    )
    assert [line for line in lines if "run" in line or "see" in line] == [
        "outer runs add(1, 2) 1",
        "inner runs add(1, 2) 1",
        "inner sees 3",
        "outer sees 3",
    ]
    assert [line for line in lines if "sen" in line] == [
        "outer sends add",
        "inner sends add",
        "inner has sent 1",
        "outer has sent 1",
    ]


async def test_send_that_is_refused_writes_nothing(server: Server) -> None:
    sums = Sums(server)
    server.add_middleware(Refusal())
    one, whole = (
        sums.add.s(1, 2).options(id="one"),
        chain(sums.add.s(1, 1), sums.add.p(2)).options(id="whole"),
    )
    async with server:
        for calls in ([one], [one, whole], [whole]):
            with pytest.raises(PermissionError, match="not today"):
                await server.send_many(calls)
        for call in (one, whole):
            with pytest.raises(PermissionError, match="not today"):
                await call.send()

        for id in ("one", "whole"):
            with pytest.raises(ResultNotFoundError):
                await server.result(id).state()
        (counts,) = await server.stores.broker.stats(["default"])
        assert (counts.ready, counts.delayed, counts.held) == (0, 0, 0)


async def test_calls_arguments_and_values_may_be_changed(server: Server) -> None:
    sums = Sums(server)
    server.add_middleware(Changing())
    async with server, server.worker():
        results = await server.send_many([sums.add.s(1, 1), sums.add.s(2, 2)])

        assert [await within(result.get()) for result in results] == [13, 15]


async def test_value_of_a_middleware_is_checked_as_the_tasks_own_is(server: Server) -> None:
    class Wrong(Middleware):
        async def run(self, context: Context, arguments: Arguments, next: Run, /) -> Any:
            return "no number"

    sums = Sums(server)
    server.add_middleware(Wrong())
    async with server, server.worker():
        result = await sums.add.send(1, 2)

        with pytest.raises(TaskFailedError) as failed:
            await within(result.get())
    assert failed.value.type == SignatureError.__name__


async def test_error_of_a_middleware_is_the_attempts(server: Server) -> None:
    sums = Sums(server)
    again = sums.add.options(retry=RetryPolicy(max_retries=2, delay=0.0, jitter=False))
    hook = Raising(ConnectionError("away"), Retry("later"))
    server.add_middleware(hook)
    async with server, server.worker():
        third = await again.send(1, 2)
        value = await within(third.get())
        attempt = (await third.state()).attempt
        hook.errors = [ValueError("no")]
        failing = await sums.add.send(1, 2)
        with pytest.raises(TaskFailedError, match=r"^no$"):
            await within(failing.get())
        hook.errors = [Reject("never")]
        rejected = await again.send(1, 2)
        with pytest.raises(TaskFailedError, match="never"):
            await within(rejected.get())
        letters = await server.dead_letters()

    assert (value, attempt) == (3, 3)
    assert [letter.id for letter in letters] == [rejected.id]


async def test_run_sees_each_attempt_and_what_it_raises(server: Server) -> None:
    lines: list[str] = []
    sums = Sums(server)
    server.add_middleware(Diary("it", lines))
    async with server, server.worker():
        result = await sums.fail.options(
            retry=RetryPolicy(max_retries=1, delay=0.0, jitter=False), on_error=sums.fail.p()
        ).send("no")
        with pytest.raises(TaskFailedError):
            await within(result.get())
        await within(eventually(lambda: len(lines) == 8))

    # whoever sent it may be told later than it runs
    assert [line for line in lines if "sen" not in line] == [
        "it runs fail('no',) 1",
        "it sees ValueError",
        "it runs fail('no',) 2",
        "it sees ValueError",
        # a callback is released by the store and sent by no process
        "it runs fail('no',) 1",
        "it sees ValueError",
    ]


async def test_workflow_is_sent_as_one_call_and_each_of_its_tasks_is_run(server: Server) -> None:
    lines: list[str] = []
    sums = Sums(server)

    @server.task
    async def grow(x: int) -> Signature[int]:
        return chain(sums.add.s(x, 1), sums.add.p(1))

    server.add_middleware(Diary("it", lines))
    async with server, server.worker(concurrency=1):
        whole = chain(group([sums.add.s(1, 2), grow.s(4)]), sums.total.p())
        result = await whole.options(on_success=sums.add.p(0)).send()
        value = await within(result.get())
        await within(eventually(lambda: lines[-1] == "it sees 9" and len(lines) == 14))

    assert value == 9
    assert [line for line in lines if "sen" in line] == ["it sends chain", "it has sent 1"]
    assert sorted(line for line in lines if "runs" in line) == [
        "it runs add(0, 9) 1",
        "it runs add(1, 2) 1",
        "it runs add(1, 5) 1",
        "it runs add(4, 1) 1",
        "it runs grow(4,) 1",
        "it runs total([3, 6],) 1",
    ]


async def test_cancel_passes_through(server: Server) -> None:
    lines: list[str] = []
    begun = asyncio.Event()

    @server.task
    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    server.add_middleware(Diary("it", lines))
    async with server, server.worker():
        result = await hang.send()
        await within(begun.wait())
        answer = await result.cancel()
        with pytest.raises(TaskCancelledError):
            await within(result.get())
        await within(eventually(lambda: lines[-1] == "it sees CancelledError"))

    assert answer.outcome is CancelOutcome.CANCELLED


async def test_middleware_that_hangs_before_the_task_is_bounded_by_its_timeout(server: Server) -> None:
    class Hanging(Middleware):
        async def run(self, context: Context, arguments: Arguments, next: Run, /) -> Any:
            await asyncio.Event().wait()

    sums = Sums(server)
    server.add_middleware(Hanging())
    async with server, server.worker():
        result = await sums.add.options(timeout=0.05).send(1, 2)

        with pytest.raises(TaskTimeoutError):
            await within(result.get())


async def test_it_runs_on_the_loop_around_a_task_in_a_thread(server: Server) -> None:
    threads: list[str] = []

    class Where(Middleware):
        async def run(self, context: Context, arguments: Arguments, next: Run, /) -> Any:
            threads.append(threading.current_thread().name)
            return await next(arguments)

    @server.task(timeout=30)
    def work() -> str:
        return threading.current_thread().name

    server.add_middleware(Where())
    async with server, server.worker():
        within_it = await within((await work.send()).get())

    assert threads == [threading.current_thread().name] != [within_it]


async def test_it_runs_in_the_worker_around_a_task_in_a_process() -> None:
    lines: list[str] = []
    server = Server(f"memory://{new_id()}", middleware=[Diary("it", lines)])
    task = server.register_task("pid", pid_of_task, executor="process")
    async with server, server.worker():
        pid = await within((await task.send()).get())

    assert [line for line in lines if "sen" not in line] == ["it runs pid() 1", f"it sees {pid}"]
    assert pid != os.getpid()


async def test_middleware_without_a_hook_is_not_in_the_way(server: Server) -> None:
    sums = Sums(server)
    server.add_middleware(Middleware())
    async with server, server.worker():
        result = await sums.add.send(1, 2)

        assert await within(result.get()) == 3
        assert (await result.state()).state is State.SUCCESS

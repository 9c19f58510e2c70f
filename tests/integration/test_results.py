"""Results: awaited here or by id from elsewhere, told apart from what was never there."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest

from aioqueue import RetryPolicy, Server, Signature, TaskState
from aioqueue.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    PayloadTooLargeError,
    ResultNotFoundError,
    ResultTimeoutError,
    TaskExpiredError,
    TaskFailedError,
    TaskTimeoutError,
)
from aioqueue.ids import new_id
from aioqueue.models.state import State
from aioqueue.protocols.store import ANYTHING, Anything
from aioqueue.testing import VirtualClock
from tests.support.waiting import passing, pause, under_way, within

pytestmark = pytest.mark.anyio


async def test_unknown_id_is_told_at_once(opened: Server) -> None:
    unknown = opened.result("no-such-task")

    with pytest.raises(ResultNotFoundError, match="no-such-task"):
        await within(unknown.get(), deadline=1.0)
    with pytest.raises(ResultNotFoundError):
        await unknown.state()


async def test_expired_result_is_told_at_once() -> None:
    clock = VirtualClock()
    async with Server("memory://expired", clock=clock) as server:
        server.register_task("one", _one)
        async with server.worker():
            result = await server.send(Signature(name="one", result_ttl=60))
            assert await within(result.get()) == 1
            await clock.advance(59)
            assert await within(result.get()) == 1
            await clock.advance(2)

            with pytest.raises(ResultNotFoundError):
                await within(result.get(), deadline=1.0)


async def test_result_without_time_is_gone_when_it_has_ended(opened: Server) -> None:
    opened.register_task("one", _one)

    async with opened.worker(), opened.worker() as worker:
        result = await opened.send(Signature(name="one", result_ttl=0))

        with pytest.raises(ResultNotFoundError):
            await within(result.get())
        assert worker.options.queues == ("default",)


async def test_forgotten_result_is_not_found(opened: Server) -> None:
    opened.register_task("one", _one)

    async with opened.worker():
        result = await opened.send(Signature(name="one"))
        await within(result.get())
        await result.forget()

        with pytest.raises(ResultNotFoundError):
            await within(result.get())


async def test_result_is_awaited_by_id_through_another_server(server: Server, opened: Server) -> None:
    opened.register_task("one", _one)
    other = Server(server.settings.broker, backend=server.settings.backend)

    async with opened.worker(), other:
        result = await opened.send(Signature(name="one"))

        assert await within(other.result(result.id).get()) == 1


async def test_wait_ends_with_its_timeout_and_the_task_goes_on(opened: Server) -> None:
    go = asyncio.Event()

    @opened.task
    async def wait() -> str:
        await go.wait()
        return "done"

    async with opened.worker():
        result = await wait.send()
        with pytest.raises(ResultTimeoutError, match=r"wait\[.*\] is (PENDING|STARTED) after 0.05 s"):
            await result.get(timeout=0.05)
        go.set()

        assert await within(result.get()) == "done"


async def test_failure_carries_what_is_on_record(opened: Server) -> None:
    @opened.task
    async def fail() -> None:
        raise LookupError

    async with opened.worker(name="w1"):
        result = await fail.send()
        with pytest.raises(TaskFailedError) as failed:
            await within(result.get())
        state = await result.state()

    error = failed.value
    assert str(error) == "LookupError"
    assert (error.type, error.task_id, error.task_name, error.attempts) == (
        "LookupError",
        result.id,
        "fail",
        1,
    )
    assert error.traceback is not None
    assert "in fail" in error.traceback
    assert isinstance(state, TaskState)
    assert (state.state, state.worker, state.attempt) == (State.FAILURE, "w1", 1)
    assert state.sent_at is not None
    assert state.started_at is not None
    assert state.finished_at is not None
    # a store may keep milliseconds of what the sender tells to the microsecond
    assert int(state.sent_at * 1000) / 1000 <= state.started_at <= state.finished_at


async def test_listed_exception_comes_back_as_itself(opened: Server) -> None:
    class OutOfStockError(Exception):
        pass

    @opened.task(raises=(OutOfStockError,))
    async def order() -> None:
        raise OutOfStockError("no chairs")

    async with opened.worker():
        result = await order.send()

        with pytest.raises(OutOfStockError, match="no chairs"):
            await within(result.get())


async def test_listed_exception_that_wants_more_than_a_message_comes_back_as_what_is_on_record(
    opened: Server,
) -> None:
    class CodedError(Exception):
        def __init__(self, code: int, text: str) -> None:
            super().__init__(f"{code}: {text}")

    class BrokenError(Exception):
        def __init__(self, text: str) -> None:
            if text != "first":
                raise LookupError(text)
            super().__init__("not the first")

    class FalseError(Exception):
        def __new__(cls, text: str, own: int = 0) -> Any:
            return super().__new__(cls) if own else None

    @opened.task(raises=(CodedError, BrokenError, FalseError))
    async def fail(kind: str) -> None:
        match kind:
            case "CodedError":
                raise CodedError(7, "no chairs")
            case "BrokenError":
                raise BrokenError("first")
            case _:
                raise FalseError("no more", 1)

    async with opened.worker():
        texts = {
            "CodedError": "7: no chairs",
            "BrokenError": "not the first",
            "FalseError": "('no more', 1)",
        }
        for kind, text in texts.items():
            with pytest.raises(TaskFailedError) as failed:
                await within((await fail.send(kind)).get())

            assert failed.value.type == kind
            assert str(failed.value) == text


async def test_task_that_runs_too_long_is_interrupted(opened: Server) -> None:
    cleaned: list[bool] = []

    @opened.task(timeout=0.05)
    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    async with opened.worker():
        with pytest.raises(TaskTimeoutError, match=r"longer than its timeout of 0\.05 s"):
            await within((await hang.send()).get())

    assert cleaned == [True]


async def test_second_send_of_an_id_runs_nothing_and_answers_the_first_result(opened: Server) -> None:
    runs: list[int] = []

    @opened.task
    async def count(n: int) -> int:
        runs.append(n)
        return n

    async with opened.worker():
        first = await count.options(id="only-once").send(1)
        assert await within(first.get()) == 1
        second = await count.options(id="only-once").send(2)

        assert await within(second.get()) == 1
    assert runs == [1]


async def test_call_that_is_too_large_is_refused_before_anything_is_written(opened: Server) -> None:
    small = Server(opened.settings.broker, backend=opened.settings.backend, max_payload=2048)
    small.register_task("one", _one)

    async with small:
        with pytest.raises(PayloadTooLargeError, match="max_payload is 2048"):
            await small.send_many([Signature(name="one"), Signature(name="one", args=["x" * 3000])])

        assert [queue.ready for queue in await small.stores.broker.stats(["default"])] == [0]


async def test_result_that_is_too_large_is_a_failure(opened: Server) -> None:
    @opened.task
    async def much() -> str:
        return "x" * 5000

    async with opened.worker(max_payload=2048):
        with pytest.raises(TaskFailedError, match="the result has 5002 bytes"):
            await within((await much.send()).get())


async def test_ignored_result_leaves_no_record(opened: Server) -> None:
    ran = asyncio.Event()

    @opened.task(ignore_result=True)
    async def shout() -> str:
        ran.set()
        return "unheard"

    async with opened.worker():
        result = await shout.send()
        await within(ran.wait())

        with pytest.raises(ResultNotFoundError):
            await within(result.get())


async def test_ignored_result_of_a_task_that_is_retried_has_a_record_without_a_value(opened: Server) -> None:
    policy = RetryPolicy(max_retries=1, backoff="constant", delay=0.0)
    runs: list[int] = []

    @opened.task(retry=policy, ignore_result=True)
    async def shout() -> str:
        runs.append(1)
        if len(runs) == 1:
            raise LookupError
        return "unheard"

    @opened.task(retry=policy)
    async def whisper() -> str:
        return "unheard"

    async with opened.worker():
        first = await shout.send()
        assert await within(first.get()) is None
        second = await whisper.options(ignore_result=True).send()
        assert await within(second.get()) is None

        assert [(await result.state()).state for result in (first, second)] == [State.SUCCESS] * 2
    assert len(runs) == 2


async def test_ignored_result_of_a_call_with_an_id_has_a_record(opened: Server) -> None:
    @opened.task(ignore_result=True)
    async def shout() -> str:
        return "unheard"

    async with opened.worker():
        result = await shout.options(id="once").send()
        assert await within(result.get()) is None

        assert (await result.state()).state is State.SUCCESS


async def test_callback_gets_the_result_after_its_own_arguments(opened: Server) -> None:
    heard: list[tuple[str, int]] = []
    done = asyncio.Event()

    @opened.task
    async def add(x: int, y: int) -> int:
        return x + y

    @opened.task
    async def note(label: str, value: int) -> None:
        heard.append((label, value))
        if len(heard) == 2:
            done.set()

    async with opened.worker():
        await add.options(on_success=[note.p("a"), note.s("b", 0)]).send(1, 2)
        await within(done.wait())

    assert sorted(heard) == [("a", 3), ("b", 0)]


async def test_waiting_for_a_queue_nobody_serves_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()
    async with Server("memory://unserved", clock=clock) as server:
        result = await server.send(Signature(name="one", queue="lonely"))
        waiting = asyncio.create_task(result.get())
        with caplog.at_level(logging.WARNING, "aioqueue.results"):
            await clock.advance(35)
        waiting.cancel()

    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "waits on queue 'lonely' and no live worker serves it" in said[0]
    assert "aioqueue worker APP -q lonely" in said[0]


class AwayStore:
    """A store that cannot be reached."""

    async def get(self, key: str) -> bytes | None:
        raise BrokerUnavailableError("the cable is out")

    async def put(
        self,
        key: str,
        value: bytes,
        *,
        expected: bytes | Anything | None = ANYTHING,
        ttl: float | None = None,
    ) -> bool:
        raise BrokerUnavailableError("the cable is out")

    async def delete(self, key: str) -> bool:
        raise BrokerUnavailableError("the cable is out")

    async def list(self, prefix: str) -> dict[str, bytes]:
        raise BrokerUnavailableError("the cable is out")

    def watch(self, key: str, event: asyncio.Event) -> AbstractContextManager[None]:
        raise BrokerUnavailableError("the cable is out")


async def test_waiting_goes_on_where_nobody_can_tell_who_serves_the_queue(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = VirtualClock()
    async with Server("memory://away", clock=clock) as server:
        server.register_task("one", _one)
        whole, server.stores = server.stores, replace(server.stores, store=AwayStore())
        result = server.result((await server.send(Signature(name="one"))).id)
        waiting = asyncio.create_task(result.get())
        await clock.advance(35)
        server.stores = whole

        assert not waiting.done()
        assert caplog.records == []
        async with server.worker():
            assert await within(waiting) == 1


async def test_card_of_another_version_fails_no_waiting(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()
    async with Server("memory://cards", clock=clock) as server:
        assert server.stores.store is not None
        for number, card in enumerate((b'{"id":"x","queues":["lonely"]}', b"no json", b'"text"')):
            await server.stores.store.put(f"worker:{number}", card)
        result = await server.send(Signature(name="one", queue="lonely"))
        waiting = asyncio.create_task(result.get())
        with caplog.at_level(logging.WARNING, "aioqueue.results"):
            await clock.advance(35)

        assert not waiting.done()
        waiting.cancel()
    assert ["no live worker serves it" in record.getMessage() for record in caplog.records] == [True]


async def test_sending_needs_an_open_server(server: Server) -> None:
    with pytest.raises(ConfigurationError, match="the server is not open"):
        await server.send(Signature(name="one"))


async def test_unreachable_store_is_told_with_the_results(server: Server) -> None:
    async with server:

        async def broken(messages: object, *, limit: object) -> None:
            raise BrokerUnavailableError("the cable is out")

        dispatcher = server._dispatcher
        assert dispatcher is not None
        dispatcher._submitter = type("Broken", (), {"submit": staticmethod(broken)})()

        with pytest.raises(BrokerUnavailableError, match="the cable is out") as told:
            await server.send_many([Signature(name="one", id="a"), Signature(name="one", id="b")])

    assert [result.id for result in told.value.results] == ["a", "b"]


async def _one() -> int:
    return 1


@pytest.mark.parametrize("many", [False, True])
async def test_sender_hears_of_a_task_that_nobody_meets_when_it_expires(many: bool) -> None:
    clock = VirtualClock()
    server = Server(f"memory://{new_id()}", clock=clock)

    @server.task
    async def never() -> None:
        raise AssertionError

    call = never.options(expires=60).s()
    async with server:
        result = (await server.send_many([call]))[0] if many else await server.send(call)
        waiting = await under_way(result.get())
        await clock.advance(59)
        await pause()
        waits = not waiting.done()
        with pytest.raises(TaskExpiredError, match="no worker has met it") as told:
            await passing(clock, waiting, seconds=10)

    assert waits
    assert (told.value.task_id, told.value.task_name) == (result.id, "never")


async def test_task_that_was_started_in_time_may_take_longer() -> None:
    clock = VirtualClock()
    server, goes_on = Server(f"memory://{new_id()}", clock=clock), asyncio.Event()

    @server.task
    async def slow() -> str:
        await goes_on.wait()
        return "done"

    async with server, server.worker():
        result = await server.send(slow.options(expires=60).s())
        waiting = await under_way(result.get())
        for _ in range(20):
            await clock.advance(5)
            await pause()
        waits = not waiting.done()
        goes_on.set()

        assert await within(waiting) == "done"
    assert waits

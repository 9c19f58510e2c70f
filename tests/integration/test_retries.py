"""Retries, end to end on every pair of stores: what is tried again, by which policy, and what is recorded."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aioqueue import Reject, Retry, RetryPolicy, Server, Signature, State, current
from aioqueue.errors import SignatureError, TaskFailedError
from aioqueue.models.state import RescheduleOutcome
from tests.support.waiting import eventually, within

pytestmark = pytest.mark.anyio

AT_ONCE: dict[str, Any] = {"backoff": "constant", "delay": 0.0, "jitter": False}


class BusyError(Exception):
    """What is tried again."""


async def test_policy_of_a_call_names_exceptions_that_no_sender_knows(opened: Server) -> None:
    attempts: list[str] = []

    @opened.task
    async def fail(kind: str) -> None:
        attempts.append(kind)
        raise BusyError("busy") if kind == "busy" else ValueError("no")

    policy = RetryPolicy(max_retries=2, on=f"{__name__}.BusyError", **AT_ONCE)
    calls = [Signature(name="fail", args=[kind], retry=policy) for kind in ("busy", "wrong")]
    async with opened.worker():
        results = await opened.send_many(calls)
        for result in results:
            with pytest.raises(TaskFailedError):
                await within(result.get())

    assert sorted(attempts) == ["busy", "busy", "busy", "wrong"]
    assert [letter.reason for letter in await opened.dead_letters()] == ["retries used up: BusyError: busy"]


async def test_function_that_is_registered_counts_where_nobody_keeps_the_result(opened: Server) -> None:
    asked: list[int] = []

    def backoff(retry: int, exc: Exception) -> float | None:
        asked.append(retry)
        return 0.0 if retry < 3 else None

    @opened.task(retry=RetryPolicy(backoff=backoff, max_retries=None), ignore_result=True)
    async def fail() -> None:
        raise ValueError("no")

    async with opened.worker():
        result = await fail.send()
        with pytest.raises(TaskFailedError):
            await within(result.get())

    assert asked == [1, 2, 3]
    assert [letter.attempt for letter in await opened.dead_letters()] == [3]


async def test_default_policy_is_for_tasks_that_have_none(server: Server) -> None:
    attempts: dict[str, int] = {"plain": 0, "once": 0}
    server = Server(
        server.settings.broker,
        backend=server.settings.backend,
        retry=RetryPolicy(max_retries=2, **AT_ONCE),
    )

    @server.task
    async def plain() -> None:
        attempts["plain"] += 1
        raise ValueError("no")

    @server.task(retry=RetryPolicy(max_retries=0))
    async def once() -> None:
        attempts["once"] += 1
        raise ValueError("no")

    async with server, server.worker():
        for result in (await plain.send(), await once.send()):
            with pytest.raises(TaskFailedError):
                await within(result.get())

    assert attempts == {"plain": 3, "once": 1}


async def test_wrapped_retry_counts_and_wrapped_reject_ends(opened: Server) -> None:
    attempts: list[str] = []

    @opened.task(retry=RetryPolicy(max_retries=1, on=KeyError))
    async def fail(how: str) -> None:
        attempts.append(how)
        try:
            raise Retry("again", delay=0) if how == "retry" else Reject("of no use")
        except (Retry, Reject) as steering:
            raise ValueError("no") from steering

    async with opened.worker():
        for how in ("retry", "reject"):
            result = await fail.send(how)
            with pytest.raises(TaskFailedError, match="no"):
                await within(result.get())
            assert (await result.state()).state is State.FAILURE

    assert attempts == ["retry", "retry", "reject"]
    reasons = sorted(letter.reason for letter in await opened.dead_letters())
    assert reasons == ["of no use", "retries used up: ValueError: no"]


async def test_what_waits_for_another_attempt_shows_the_last_one_and_when(opened: Server) -> None:
    @opened.task(retry=RetryPolicy.listed(3600))
    async def fail() -> None:
        raise BusyError("busy")

    async with opened.worker(name="w1"):
        result = await fail.send()
        await eventually(lambda: _reads(opened, result.id, State.RETRY))
        state = await result.state()

    assert (state.attempt, state.error and state.error.message, state.worker) == (1, "busy", "w1")
    (attempt,) = state.history
    assert attempt.next_at == state.next_at
    assert attempt.next_at is not None
    assert attempt.ended_at is not None
    assert attempt.next_at - attempt.ended_at == pytest.approx(3600, abs=5)


async def test_history_tells_each_attempt_that_came_to_nothing(opened: Server) -> None:
    @opened.task(retry=RetryPolicy.listed(0, 0))
    async def fail(until: int) -> int:
        if current().attempt < until:
            raise BusyError(f"no {current().attempt}" + "!" * 10_000)
        return 1

    async with opened.worker(name="w1"):
        failed, succeeded, at_once = [await fail.send(until) for until in (9, 3, 1)]
        with pytest.raises(TaskFailedError, match="no 3"):
            await within(failed.get())
        assert [await within(result.get()) for result in (succeeded, at_once)] == [1, 1]
        histories = [await result.history() for result in (failed, succeeded, at_once)]
        state = await failed.state()

    assert [[a.attempt for a in history] for history in histories] == [[1, 2, 3], [1, 2], []]
    assert state.history == histories[0]
    for a in histories[0]:
        assert (a.error.type, a.error.message[:4], a.worker) == ("BusyError", f"no {a.attempt}", "w1")
        assert a.error.traceback is not None
    assert [len(a.error.message) for a in histories[0]] == [2_048, 2_048, 8_192]


async def _reads(server: Server, id: str, state: State) -> bool:
    return (await server.result(id).state()).state is state


async def test_delayed_task_is_rescheduled_by_its_result_and_starts_at_once(opened: Server) -> None:
    @opened.task
    async def add(x: int, y: int) -> int:
        return x + y

    async with opened.worker():
        result = await add.options(delay=timedelta(hours=1)).send(1, 2)
        later = await result.reschedule(eta=datetime.now(UTC) + timedelta(hours=2))
        waits = (await result.state()).next_at
        now = await opened.reschedule(result.id, delay=0)

        assert await within(result.get()) == 3
        done = await result.reschedule(delay=0)
    unknown = await opened.reschedule("nobody", delay=0)

    assert (later, now) == (RescheduleOutcome.RESCHEDULED, RescheduleOutcome.RESCHEDULED)
    assert waits is not None
    assert waits > time.time() + 7_000
    assert (done, unknown) == (RescheduleOutcome.ALREADY_DONE, RescheduleOutcome.NOT_FOUND)


async def test_task_that_waits_to_be_tried_again_is_tried_at_once(opened: Server) -> None:
    @opened.task(retry=RetryPolicy.listed(3600))
    async def fail() -> int:
        if current().attempt == 1:
            raise BusyError("busy")
        return current().attempt

    async with opened.worker():
        result = await fail.send()
        await eventually(lambda: _reads(opened, result.id, State.RETRY))

        assert await result.reschedule(delay=0)
        assert await within(result.get()) == 2


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ({}, "eta or delay, one of them"),
        ({"delay": 1, "eta": datetime.now(UTC)}, "eta or delay, one of them"),
        ({"eta": datetime(2030, 1, 1)}, "needs an aware datetime; add a tzinfo"),
        ({"delay": -1}, "0 or more seconds"),
        ({"delay": "1"}, "must be seconds"),
        ({"delay": datetime.now(UTC)}, "a moment is 'eta'"),
    ],
)
async def test_moment_that_is_none_is_told(when: dict[str, Any], said: str) -> None:
    async with Server("memory://") as server:
        with pytest.raises(SignatureError, match=f"reschedule: .*{said}"):
            await server.result("any").reschedule(**when)

"""Events, end to end: what a task tells while it runs, in order, from any place, none lost and none twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel

from aioqueue import AsyncResult, RetryPolicy, Server, State, current
from aioqueue.errors import (
    ConfigurationError,
    ResultNotFoundError,
    TaskCancelledError,
    TaskFailedError,
    TaskTimeoutError,
)
from aioqueue.models.event import Event, ProgressEvent, StateEvent, ValueEvent
from aioqueue.testing import VirtualClock
from aioqueue.worker.birth import bury
from tests.support.waiting import eventually, within

pytestmark = pytest.mark.anyio

DEADLINE = 30.0


class Day(BaseModel):
    when: date


class Bench:
    """A Server with tasks that tell what they do."""

    def __init__(self, server: Server) -> None:
        self.go = asyncio.Event()
        self.seen = asyncio.Semaphore(0)
        self.closed: list[str] = []

        @server.task
        async def rows(n: int) -> AsyncIterator[int]:
            for i in range(n):
                yield i

        @server.task
        async def days(n: int) -> AsyncIterator[Day]:
            for i in range(n):
                yield Day(when=date(2030, 1, 1 + i))

        @server.task
        async def steps(n: int) -> str:
            for i in range(1, n + 1):
                current().progress(i, n, f"step {i}")
                # so that each of them is told before the next
                await self.seen.acquire()
            return "done"

        @server.task
        async def held(n: int) -> AsyncIterator[int]:
            try:
                for i in range(n):
                    yield i
                await self.go.wait()
                yield n
            finally:
                self.closed.append(current().task_id)

        @server.task(retry=RetryPolicy(max_retries=2, backoff="constant", delay=0, jitter=False))
        async def shaky() -> AsyncIterator[str]:
            attempt = current().attempt
            yield f"{attempt}a"
            yield f"{attempt}b"
            if attempt < 3:
                raise ValueError(f"no {attempt}")
            yield f"{attempt}c"

        @server.task
        async def double(n: int) -> int:
            return 2 * n

        self.rows, self.days, self.steps, self.held = rows, days, steps, held
        self.shaky, self.double = shaky, double


@pytest.fixture
def bench(opened: Server) -> Bench:
    return Bench(opened)


async def told(result: AsyncResult[Any], *, after: str | None = None) -> list[Event[Any]]:
    """Return all events up to the last."""

    async def gathered() -> list[Event[Any]]:
        return [event async for event in result.events(after=after)]

    return await within(gathered(), deadline=DEADLINE)


async def first(result: AsyncResult[Any], count: int, *, after: str | None = None) -> list[Event[Any]]:
    """Return some events, and follow no further."""
    found: list[Event[Any]] = []

    async def gather() -> None:
        async with aclosing(result.events(after=after)) as events:  # type: ignore[type-var]  # it is a generator
            async for event in events:
                found.append(event)
                if len(found) == count:
                    return

    await within(gather(), deadline=DEADLINE)
    return found


def short(event: Event[Any]) -> object:
    match event:
        case StateEvent():
            return event.state.value
        case ProgressEvent():
            return event.done, event.total, event.message
        case ValueEvent():
            return event.value


def values(events: list[Event[Any]]) -> list[object]:
    return [event.value for event in events if isinstance(event, ValueEvent)]


async def test_values_of_a_generator_come_in_order_and_its_result_is_their_count(
    opened: Server, bench: Bench
) -> None:
    async with opened.worker():
        result = await bench.rows.send(3)
        events = await told(result)

        assert [short(event) for event in events] == ["PENDING", "STARTED", 0, 1, 2, "SUCCESS"]
        assert await within(result.get()) == 3
        assert len({event.id for event in events}) == len(events)


async def test_values_are_converted_by_the_annotation(opened: Server, bench: Bench) -> None:
    async with opened.worker():
        result = await bench.days.send(2)
        sent, by_id = values(await told(result)), values(await told(bench.days.result(result.id)))
        raw = values(await told(opened.result(result.id)))

    assert sent == by_id == [Day(when=date(2030, 1, 1)), Day(when=date(2030, 1, 2))]
    assert raw == [{"when": "2030-01-01"}, {"when": "2030-01-02"}]


async def test_next_step_of_a_chain_takes_the_count(opened: Server, bench: Bench) -> None:
    async with opened.worker():
        assert await within((await (bench.rows.s(4) | bench.double.p()).send()).get()) == 8


async def test_progress_is_told_between_the_states(opened: Server, bench: Bench) -> None:
    events: list[Event[Any]] = []

    async def follow(result: AsyncResult[Any]) -> None:
        async for event in result.events():
            events.append(event)
            if isinstance(event, ProgressEvent):
                bench.seen.release()

    async with opened.worker():
        await within(follow(await bench.steps.send(3)), deadline=DEADLINE)

    assert [short(event) for event in events] == [
        "PENDING",
        "STARTED",
        (1, 3, "step 1"),
        (2, 3, "step 2"),
        (3, 3, "step 3"),
        "SUCCESS",
    ]
    at = [event.at for event in events]
    assert None not in at
    assert events[1].attempt == events[-1].attempt == 1


async def test_following_goes_on_after_any_event(opened: Server, bench: Bench) -> None:
    async with opened.worker():
        result = await bench.shaky.send()
        events = await told(result)
        for number, event in enumerate(events):
            assert await told(result, after=event.id) == events[number + 1 :]


async def test_who_connects_anew_for_each_event_misses_and_doubles_none(opened: Server, bench: Bench) -> None:
    async with opened.worker():
        result = await bench.held.send(20)
        seen: list[Event[Any]] = []
        while len(values(seen)) < 20:
            seen += await first(result, 1, after=seen[-1].id if seen else None)
        bench.go.set()
        seen += await told(bench.held.result(result.id), after=seen[-1].id)

    assert [short(event) for event in seen] == ["PENDING", "STARTED", *range(21), "SUCCESS"]


async def test_retry_begins_the_stream_anew_under_its_attempt(opened: Server, bench: Bench) -> None:
    async with opened.worker():
        events = await told(await bench.shaky.send())

    assert [(event.attempt, short(event)) for event in events] == [
        (1, "PENDING"),
        (1, "STARTED"),
        (1, "1a"),
        (1, "1b"),
        (1, "RETRY"),
        (2, "STARTED"),
        (2, "2a"),
        (2, "2b"),
        (2, "RETRY"),
        (3, "STARTED"),
        (3, "3a"),
        (3, "3b"),
        (3, "3c"),
        (3, "SUCCESS"),
    ]
    retries = [event for event in events if isinstance(event, StateEvent) and event.state is State.RETRY]
    assert [event.error.message for event in retries if event.error is not None] == ["no 1", "no 2"]


async def test_given_back_run_begins_the_stream_anew(opened: Server, bench: Bench) -> None:
    result = await bench.held.send(2)
    async with opened.worker(grace=0):
        await first(result, 4)
    bench.go.set()
    async with opened.worker():
        events = await told(result)

    assert [short(event) for event in events] == ["PENDING", "STARTED", 0, 1, "STARTED", 0, 1, 2, "SUCCESS"]
    assert len(bench.closed) == 2


async def test_run_after_a_lost_worker_begins_the_stream_anew(opened: Server, bench: Bench) -> None:
    dead = opened.worker(birth="victim", beat=0.2)
    async with dead:
        result = await bench.held.send(2)
        before = await first(result, 4)
        await bury(opened.stores, "victim")
        after = await first(result, 4, after=before[-1].id)
        bench.go.set()
        after += await told(result, after=after[-1].id)

    seen = [(event.attempt, event.losses, short(event)) for event in (*before, *after)]
    assert seen == [
        (1, 0, "PENDING"),
        (1, 0, "STARTED"),
        (1, 0, 0),
        (1, 0, 1),
        (1, 0, "RETRY"),
        (1, 1, "STARTED"),
        (1, 1, 0),
        (1, 1, 1),
        (1, 1, 2),
        (1, 1, "SUCCESS"),
    ]
    (lost,) = [event for event in after if isinstance(event, StateEvent) and event.state is State.RETRY]
    assert lost.error is not None
    assert lost.error.type == "WorkerLost"


async def test_many_values_are_neither_lost_nor_doubled(opened: Server, bench: Bench) -> None:
    async with opened.worker():
        result = await bench.rows.send(3_000)
        assert values(await told(result)) == list(range(3_000))
        assert await within(result.get()) == 3_000


async def test_cancel_closes_the_generator_and_ends_the_events(opened: Server, bench: Bench) -> None:
    async with opened.worker():
        result = await bench.held.send(1)
        before = await first(result, 3)
        await result.cancel()
        after = await told(result, after=before[-1].id)
        await eventually(lambda: bench.closed == [result.id])

        assert [short(event) for event in (*before, *after)] == ["PENDING", "STARTED", 0, "CANCELLED"]
        with pytest.raises(TaskCancelledError):
            await within(result.get())


async def test_timeout_closes_the_generator_and_keeps_what_it_told(opened: Server, bench: Bench) -> None:
    async with opened.worker():
        result = await bench.held.options(timeout=1).send(2)
        events = await told(result)

        assert [short(event) for event in events] == ["PENDING", "STARTED", 0, 1, "FAILURE"]
        assert bench.closed == [result.id]
        with pytest.raises(TaskTimeoutError):
            await within(result.get())


async def test_value_that_does_not_fit_ends_the_task_at_once(opened: Server) -> None:
    closed: list[int] = []

    @opened.task(retry=RetryPolicy(max_retries=5, delay=0))
    async def wrong() -> AsyncIterator[int]:
        try:
            yield 1
            yield "two"  # type: ignore[misc]  # what is tried here
        finally:
            closed.append(current().attempt)

    @opened.task(retry=RetryPolicy(max_retries=5, delay=0))
    async def large() -> AsyncIterator[str]:
        yield "x" * (opened.settings.max_payload + 1)

    async with opened.worker():
        result, other = await wrong.send(), await large.send()
        events = await told(result)
        with pytest.raises(TaskFailedError, match=r"value 1 has .* bytes, max_payload is"):
            await within(other.get())

    assert [short(event) for event in events] == ["PENDING", "STARTED", 1, "FAILURE"]
    assert closed == [1]


async def test_thread_tells_progress(opened: Server) -> None:
    @opened.task
    def crunch() -> int:
        current().progress(1, 2)
        return 7

    async with opened.worker():
        events = await told(await crunch.send())

    assert [short(event) for event in events] == ["PENDING", "STARTED", (1, 2, None), "SUCCESS"]


async def test_progress_takes_the_place_of_what_has_not_left(opened: Server) -> None:
    @opened.task
    async def busy() -> None:
        for i in range(10_000):
            current().progress(i)

    async with opened.worker():
        events = await told(await busy.send())

    done = [event.done for event in events if isinstance(event, ProgressEvent)]
    assert done[-1] == 9_999
    assert len(done) < 100


async def test_progress_that_is_no_number_is_an_error(opened: Server) -> None:
    caught: list[str] = []

    @opened.task
    async def odd() -> None:
        for given in ({"done": "1"}, {"total": float("nan")}, {"done": True}, {"message": 3}):
            try:
                current().progress(**given)
            except ConfigurationError as exc:
                caught.append(str(exc))

    async with opened.worker():
        await within((await odd.send()).get())

    assert len(caught) == 4
    assert "done is no finite number: '1'" in caught[0]


async def test_task_without_a_record_runs_and_tells_nobody(opened: Server) -> None:
    ran = asyncio.Event()

    @opened.task(ignore_result=True)
    async def unheard() -> AsyncIterator[int]:
        current().progress(1)
        yield 1
        ran.set()

    async with opened.worker():
        result = await unheard.send()
        await within(ran.wait())
        with pytest.raises(ResultNotFoundError):
            await told(result)


async def test_unknown_task_and_event_are_errors(opened: Server, bench: Bench) -> None:
    result = await bench.rows.send(1)

    with pytest.raises(ResultNotFoundError):
        await told(opened.result("nobody"))
    for wrong in ("", "1.2", "a.b.c.d.e", "-1.0.0.0.0"):
        with pytest.raises(ConfigurationError, match="is no event's id"):
            await told(result, after=wrong)


async def test_events_have_their_moments_by_the_stores_clock() -> None:
    clock = VirtualClock(1_000.0)
    server = Server("memory://events", clock=clock)
    bench = Bench(server)
    async with server:
        result = await bench.held.send(1)
        await clock.advance(5)
        async with server.worker():
            before = await first(result, 3)
            await clock.advance(2)
            bench.go.set()
            after = await told(result, after=before[-1].id)

    assert [(event.at, short(event)) for event in (*before, *after)] == [
        (1_000.0, "PENDING"),
        (1_005.0, "STARTED"),
        (1_005.0, 0),
        (1_007.0, 1),
        (1_007.0, "SUCCESS"),
    ]

"""Unique keys: one open task has a key at a time, over one store and over two, whatever ends it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from aioqueue import Signature
from aioqueue.errors import ConfigurationError
from aioqueue.ids import new_id
from aioqueue.models.state import CancelOutcome, RescheduleOutcome, State
from aioqueue.models.stats import Where
from aioqueue.protocols.messages import Message, When
from aioqueue.protocols.unique import Answer, Held, Unique
from aioqueue.queues import purged
from tests.support.counting import counts
from tests.support.flows import Works, failure, retry_of
from tests.support.stores import lacks
from tests.support.waiting import under_way

pytestmark = pytest.mark.anyio

DONE = Unique("key")
STARTED = Unique("key", until_done=False)
REPLACES = Unique("key", replace=60.0)


def task(works: Works, unique: Unique | None = DONE, **what: Any) -> Message:
    return Message(new_id(), "a", works.queue, b"{}", sent=works.clock.time(), unique=unique, **what)


async def send(works: Works, *tasks: Message) -> list[Answer]:
    return list(await works.submitter.submit(tasks))


async def test_second_task_of_a_key_is_not_accepted_and_its_sender_hears_whose_it_is(works: Works) -> None:
    first, second = task(works), task(works)

    assert await send(works, first) == [True]
    assert await send(works, second) == [Held(first.id)]
    assert await works.backend.get([second.id]) == [None]
    async with works.crew() as crew:
        assert [delivery.message.id for delivery in await crew.take_all()] == [first.id]


async def test_of_equal_keys_in_one_batch_the_first_is_accepted(works: Works) -> None:
    first, second, other, plain = (
        task(works),
        task(works),
        task(works, Unique("other")),
        task(works, None),
    )

    answers = await send(works, first, plain, second, other)

    assert answers == [True, True, Held(first.id), True]
    assert (await counts(works.broker, works.queue)).ready == 3


async def test_of_many_concurrent_sends_of_one_key_one_is_accepted(works: Works) -> None:
    answers = [
        answer for (answer,) in await asyncio.gather(*(send(works, task(works)) for _ in range(1_000)))
    ]

    assert answers.count(True) == 1
    assert len(set(answers)) == 2
    assert (await counts(works.broker, works.queue)).ready == 1


async def test_same_id_is_its_own_and_answers_as_any_copy(works: Works) -> None:
    first = task(works)
    await send(works, first)

    (answer,) = await send(works, first)

    assert answer is False
    assert (await counts(works.broker, works.queue)).ready == 1


@pytest.mark.parametrize("state", [State.SUCCESS, State.FAILURE, State.EXPIRED, State.CANCELLED])
@pytest.mark.parametrize("ttl", [60.0, 0.0])
async def test_key_is_free_when_its_task_has_ended(works: Works, state: State, ttl: float) -> None:
    await send(works, task(works))
    error = None if state is State.SUCCESS else failure("no")

    async with works.crew() as crew:
        (delivery,) = await crew.take_all()
        held = await send(works, task(works))
        await crew.end(delivery, state, value=None, error=error, ttl=ttl)

        assert held == [Held(delivery.message.id)]
        assert await send(works, task(works)) == [True]


async def test_key_is_free_when_its_task_is_a_dead_letter(works: Works) -> None:
    await send(works, task(works))

    async with works.crew() as crew:
        (delivery,) = await crew.take_all()
        await crew.fail(delivery, dead="no good")

    assert await send(works, task(works)) == [True]


@pytest.mark.parametrize("delay", [0.0, 3600.0])
async def test_key_is_free_when_its_task_is_cancelled_as_it_waits(works: Works, delay: float) -> None:
    first = task(works, delay=delay)
    await send(works, first)

    await works.submitter.cancel([first.id], ttl=60)

    assert await send(works, task(works)) == [True]


async def test_key_is_free_when_its_task_is_cancelled_as_it_runs(works: Works) -> None:
    first = task(works)
    await send(works, first)

    async with works.crew() as crew:
        (delivery,) = await crew.take_all()
        await works.submitter.cancel([first.id], ttl=60)
        second = task(works)

        assert await send(works, second) == [True]
        assert not await crew.end(delivery)
        assert await send(works, task(works)) == [Held(second.id)]


async def test_key_is_free_when_its_queue_is_purged(works: Works) -> None:
    await send(works, task(works))

    await purged(works.broker, works.submitter, works.queue, [Where.DELAYED, Where.PENDING])

    assert await send(works, task(works)) == [True]


async def test_forgotten_task_has_its_key_until_it_ends(works: Works) -> None:
    first = task(works)
    await send(works, first)
    await works.backend.forget([first.id])

    held = await send(works, task(works))
    async with works.crew() as crew:
        (delivery,) = await crew.take_all()
        await crew.end(delivery)

    assert held == [Held(first.id)]
    assert await send(works, task(works)) == [True]


async def test_task_has_its_key_between_two_attempts(works: Works) -> None:
    first = task(works)
    await send(works, first)

    async with works.crew() as crew:
        (delivery,) = await crew.take_all()
        retry = replace(retry_of(delivery), unique=None, delay=0.0)
        await crew.end(delivery, State.RETRY, value=None, error=failure("no"), follow=(retry,), next_at=0.0)
        waiting = await send(works, task(works))
        (delivery,) = await crew.take_all()
        running = await send(works, task(works))
        await crew.end(delivery)

        assert waiting == running == [Held(first.id)]
        assert await send(works, task(works)) == [True]


async def test_until_started_frees_the_key_at_the_first_start(works: Works) -> None:
    first, second = task(works, STARTED), task(works, STARTED)
    await send(works, first)
    waiting = await send(works, task(works, STARTED))

    async with works.crew() as crew:
        (delivery,) = await crew.take_all()

        assert waiting == [Held(first.id)]
        assert await send(works, second) == [True]
        assert await send(works, task(works, STARTED)) == [Held(second.id)]
        # the end of the first one is none of the second's
        await crew.end(delivery)
        assert await send(works, task(works, STARTED)) == [Held(second.id)]


async def test_until_started_leaves_the_key_free_between_two_attempts(works: Works) -> None:
    await send(works, task(works, STARTED))

    async with works.crew() as crew:
        (delivery,) = await crew.take_all()
        retry = replace(retry_of(delivery), unique=None, delay=60.0)
        await crew.end(delivery, State.RETRY, value=None, error=failure("no"), follow=(retry,), next_at=60.0)

        assert await send(works, task(works, STARTED)) == [True]


async def test_task_whose_worker_died_has_its_key_until_another_has_ended_it(works: Works) -> None:
    first = task(works)
    await send(works, first)
    async with works.crew() as dead:
        (delivery,) = await dead.take_all()
        await works.backend.bury(dead.consumer.id)
        await works.broker.bury(dead.consumer.id)

        held = await send(works, task(works))
        async with works.crew() as crew:
            (again,) = await crew.take_all()
            await crew.end(again)

        assert delivery.message.id == again.message.id
        assert held == [Held(first.id)]
        assert await send(works, task(works)) == [True]


async def test_task_that_goes_on_as_a_workflow_has_its_key_until_that_has_ended(works: Works) -> None:
    first = task(works)
    await send(works, first)

    async with works.crew() as crew:
        (delivery,) = await crew.take_all()
        plan = await works.instead(delivery, Signature(name="b", takes="none"))
        await crew.go_on(delivery, plan)
        held = await send(works, task(works))
        assert await crew.run() == ["b"]

    assert (await works.record(first.id)).state is State.SUCCESS
    assert held == [Held(first.id)]
    assert await send(works, task(works)) == [True]


@pytest.mark.parametrize("delay", [0.0, 3600.0])
async def test_task_that_waits_is_replaced_and_its_waiter_is_told(works: Works, delay: float) -> None:
    first, second = task(works, delay=delay), task(works, REPLACES)
    await send(works, first)
    waiting = await under_way(works.backend.wait(first.id, timeout=600))

    assert await send(works, second) == [True]
    record = await waiting

    assert record is not None
    assert record.state is State.CANCELLED
    async with works.crew() as crew:
        assert [delivery.message.id for delivery in await crew.take_all()] == [second.id]
    assert await send(works, task(works)) == [Held(second.id)]


async def test_task_that_runs_is_replaced_and_commits_nothing(works: Works) -> None:
    first, second = task(works), task(works, REPLACES)
    await send(works, first)

    async with works.crew() as crew:
        (delivery,) = await crew.take_all()
        assert await send(works, second) == [True]
        assert not await crew.end(delivery)
        assert [delivery.message.id for delivery in await crew.take_all()] == [second.id]

    assert (await works.record(first.id)).state is State.CANCELLED


async def test_task_that_goes_on_as_a_workflow_is_replaced_with_all_of_it(works: Works) -> None:
    first, second = task(works), task(works, REPLACES)
    await send(works, first)

    async with works.crew() as crew:
        (delivery,) = await crew.take_all()
        plan = await works.instead(delivery, Signature(name="b", takes="none"))
        await crew.go_on(delivery, plan)
        await send(works, second)

        assert [delivery.message.id for delivery in await crew.take_all()] == [second.id]
    assert (await works.states(plan))["b"] is State.CANCELLED


async def test_of_many_that_replace_each_other_in_one_batch_the_last_runs(works: Works) -> None:
    sent = [task(works, REPLACES) for _ in range(5)]

    answers = await send(works, *sent)

    assert answers == [True] * 5
    async with works.crew() as crew:
        assert [delivery.message.id for delivery in await crew.take_all()] == [sent[-1].id]


async def test_concurrent_replacements_leave_one_open(works: Works) -> None:
    sent = [task(works, REPLACES) for _ in range(20)]

    await asyncio.gather(*(send(works, each) for each in sent))

    records = await works.backend.get([each.id for each in sent])
    assert [record.state for record in records if record is not None].count(State.PENDING) == 1
    async with works.crew() as crew:
        assert len(await crew.take_all()) == 1


async def test_key_is_free_when_its_time_is_over_though_its_task_is_open(works: Works) -> None:
    await send(works, task(works, Unique("key", ttl=0.5)))
    held = bool((await send(works, task(works, Unique("key", ttl=0.5))))[0])
    await works.clock.advance(0.6)

    assert not held
    assert await send(works, task(works)) == [True]


async def test_time_of_a_key_begins_when_its_task_is_due(works: Works) -> None:
    first = task(works, Unique("key", ttl=0.5), delay=3600.0)
    await send(works, first)
    await works.clock.advance(0.6)

    assert await send(works, task(works)) == [Held(first.id)]


async def test_what_gives_way_is_no_message_more_in_a_queue_that_is_full(works: Works) -> None:
    if not works.one_step:
        lacks("two stores look at the limit before they know")
    first = task(works)
    await send(works, first)

    assert list(await works.submitter.submit([task(works)], limit=1)) == [Held(first.id)]


async def test_upkeep_keeps_the_key_of_an_open_task_and_only_that(works: Works) -> None:
    first, second = task(works), task(works, Unique("other"))
    await send(works, first, second)
    cancelled = await works.submitter.cancel([second.id], ttl=60)
    await works.maintain()

    assert list(cancelled) == [CancelOutcome.CANCELLED]
    assert await send(works, task(works), task(works, Unique("other"))) == [Held(first.id), True]


@pytest.fixture
def one_store(works: Works) -> Works:
    """One store, which alone can change a task that waits and its record in one step."""
    if not works.one_step:
        lacks("a message in another store stays as it is")
    return works


def debounced(works: Works, body: bytes, *, delay: float = 5.0, most: float = 50.0, **what: Any) -> Message:
    unique = Unique("key", until_done=False, collapse=most)
    return replace(task(works, unique, delay=delay, **what), body=body)


async def test_task_that_waits_becomes_the_last_of_its_key(one_store: Works) -> None:
    works = one_store
    first = debounced(works, b"1", delay=0.5)
    await send(works, first)
    before = (await works.record(first.id)).due or 0.0

    answers = await send(works, debounced(works, b"2"), debounced(works, b"3", delay=0.8, priority=5))
    due = (await works.record(first.id)).due or 0.0
    stats = await counts(works.broker, works.queue)
    await works.clock.advance(1.5)

    assert answers == [Held(first.id)] * 2
    assert due > before
    assert (stats.ready, stats.delayed) == (0, 1)
    async with works.crew() as crew:
        (delivery,) = await crew.take_all()
        assert (delivery.message.id, delivery.message.body) == (first.id, b"3")
        assert await crew.end(delivery)


async def test_task_is_put_off_no_further_than_it_may_be(one_store: Works) -> None:
    works = one_store
    first = debounced(works, b"1", delay=0.1, most=0.5)
    await send(works, first)
    due = (await works.record(first.id)).due or 0.0

    await send(works, debounced(works, b"2", delay=600.0, most=600.0))

    assert (await works.record(first.id)).due == pytest.approx(due + 0.4, abs=0.1)
    await works.clock.advance(1.0)
    async with works.crew() as crew:
        (delivery,) = await crew.take_all()
        assert (delivery.message.id, delivery.message.body) == (first.id, b"2")


async def test_task_that_is_due_and_waits_is_put_off_too(one_store: Works) -> None:
    works = one_store
    first = debounced(works, b"1", delay=0.0)
    await send(works, first)

    await send(works, debounced(works, b"2", delay=3600.0, most=7200.0))

    async with works.crew() as crew:
        # the first one was sent to be due at most 50 s later
        assert await crew.take_all() == []
    assert (await counts(works.broker, works.queue)).delayed == 1


async def test_task_that_has_started_is_left_and_the_next_of_its_key_waits(one_store: Works) -> None:
    works = one_store
    first, second = debounced(works, b"1", delay=0.0), debounced(works, b"2")
    await send(works, first)

    async with works.crew() as crew:
        (delivery,) = await crew.take_all()
        answers = await send(works, second, debounced(works, b"3"))

        assert answers == [True, Held(second.id)]
        assert await crew.end(delivery)
    assert (await works.record(second.id)).state is State.PENDING


async def test_task_that_was_put_off_may_be_rescheduled_and_cancelled(one_store: Works) -> None:
    works = one_store
    first, second = debounced(works, b"1"), debounced(works, b"3")
    await send(works, first, debounced(works, b"2"))

    moved = await works.submitter.reschedule(first.id, When(delay=100.0))
    await works.submitter.cancel([first.id], ttl=60)

    assert moved is RescheduleOutcome.RESCHEDULED
    assert (await counts(works.broker, works.queue)).delayed == 0
    assert await send(works, second) == [True]


async def test_two_stores_say_that_they_cannot_change_what_waits(works: Works) -> None:
    if works.one_step:
        lacks("one store can")

    with pytest.raises(ConfigurationError, match="debounce"):
        await send(works, debounced(works, b"1"))

"""Backend: records from their making to the end of their time, and those who wait for them."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace

import pytest

from aioqueue.ids import new_id
from aioqueue.models.state import State
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.messages import OPEN_TTL, Committed, Delivery, Ending, Record, Verdict
from aioqueue.testing import VirtualClock
from tests.support.clocks import MovableClock
from tests.support.stores import Place, backend_of
from tests.support.waiting import eventually, lent, message, passing, pause, under_way, within

pytestmark = pytest.mark.anyio

FINAL = [State.SUCCESS, State.FAILURE, State.CANCELLED, State.EXPIRED]


@pytest.fixture
def delivery(queue: str) -> Delivery:
    """A delivery of some other broker."""
    return lent(message(queue))


def pending(queue: str) -> Record:
    return Record(id=new_id(), name="add", queue=queue, sent=12.5)


async def shown(backend: Backend, id: str) -> Record:
    """The record, which must be there."""
    (record,) = await backend.get([id])
    assert record is not None
    return record


async def end(
    backend: Backend, delivery: Delivery, *, state: State = State.SUCCESS, ttl: float = 60.0
) -> None:
    """Claim and commit."""
    await backend.claim([delivery], owner="owner", worker="w")
    assert list(await backend.commit([Ending(delivery, state, value=b"3", ttl=ttl)], owner="owner")) == [
        Committed()
    ]


async def test_record_is_shown_as_it_was_put(backend: Backend, queue: str, clock: MovableClock) -> None:
    record = replace(pending(queue), due=round(clock.time() + 60, 3))

    made = await backend.put([record])

    assert list(made) == [True]
    assert await backend.get([record.id]) == [record]


async def test_records_come_in_the_order_they_were_asked_for(backend: Backend, queue: str) -> None:
    first, second = pending(queue), pending(queue)
    await backend.put([first, second])

    assert await backend.get([second.id, "nobody", first.id, second.id]) == [second, None, first, second]


async def test_empty_batches_are_nothing(backend: Backend) -> None:
    assert list(await backend.put([])) == []
    assert await backend.get([]) == []
    assert list(await backend.claim([], owner="o", worker="w")) == []
    assert list(await backend.commit([], owner="o")) == []

    await backend.unclaim([], owner="o")
    await backend.forget([])


async def test_put_again_is_welcome_while_the_task_has_not_started(backend: Backend, queue: str) -> None:
    record = pending(queue)
    await backend.put([record])

    assert list(await backend.put([record])) == [True]
    assert await backend.get([record.id]) == [record]


async def test_put_refuses_what_has_started_or_ended(backend: Backend, queue: str) -> None:
    started, ended, fresh = pending(queue), pending(queue), pending(queue)
    await backend.put([started, ended])
    await backend.claim([lent(message(queue, id=started.id))], owner="o", worker="w")
    await end(backend, lent(message(queue, id=ended.id)))

    made = await backend.put([started, fresh, ended])

    assert list(made) == [False, True, False]
    assert (await shown(backend, started.id)).state is State.STARTED
    assert (await shown(backend, ended.id)).value == b"3"


async def test_open_record_is_shown_for_thirty_days_past_its_due_moment(
    backend: Backend, queue: str, clock: MovableClock
) -> None:
    record = replace(pending(queue), due=clock.time() + 86_400)
    await backend.put([record])

    await clock.advance(86_400 + OPEN_TTL - 60)
    before = await backend.get([record.id])
    await clock.advance(61)

    assert before == [record]
    assert await backend.get([record.id]) == [None]


async def test_expired_record_may_be_made_again(backend: Backend, queue: str, clock: MovableClock) -> None:
    record = pending(queue)
    await backend.put([record])
    await backend.claim([lent(message(queue, id=record.id))], owner="o", worker="w")
    await clock.advance(OPEN_TTL + 1)

    assert list(await backend.put([record])) == [True]
    assert await backend.get([record.id]) == [record]


@pytest.mark.parametrize("state", FINAL)
async def test_value_is_shown_for_its_time(
    backend: Backend, delivery: Delivery, clock: MovableClock, state: State
) -> None:
    await end(backend, delivery, state=state, ttl=2)

    await clock.advance(1)
    before = await backend.get([delivery.message.id])
    await clock.advance(1.1)

    assert [record and (record.state, record.value) for record in before] == [(state, b"3")]
    assert await backend.get([delivery.message.id]) == [None]


async def test_value_without_time_is_never_shown(backend: Backend, delivery: Delivery) -> None:
    await end(backend, delivery, ttl=0)

    assert await backend.get([delivery.message.id]) == [None]


async def test_wait_for_nobody_ends_at_once(backend: Backend) -> None:
    assert await within(backend.wait(new_id(), timeout=600)) is None


async def test_wait_for_what_has_ended_ends_at_once(backend: Backend, delivery: Delivery) -> None:
    await end(backend, delivery)

    record = await within(backend.wait(delivery.message.id, timeout=600))

    assert record == await shown(backend, delivery.message.id)


@pytest.mark.parametrize("state", FINAL)
async def test_commit_ends_a_wait(backend: Backend, delivery: Delivery, state: State) -> None:
    await backend.put([Record(delivery.message.id, "add", delivery.message.queue)])
    waiting = await under_way(backend.wait(delivery.message.id, timeout=600))

    await end(backend, delivery, state=state)
    record = await within(waiting)

    assert record is not None
    assert (record.state, record.value) == (state, b"3")


async def test_wait_goes_on_over_what_is_not_final(
    backend: Backend, delivery: Delivery, clock: MovableClock
) -> None:
    await backend.put([Record(delivery.message.id, "add", delivery.message.queue)])
    waiting = await under_way(backend.wait(delivery.message.id, timeout=600))
    await backend.claim([delivery], owner="o", worker="w")
    retry = lent(replace(delivery.message, attempt=2))
    await backend.commit([Ending(delivery, State.RETRY, next_at=clock.time())], owner="o")
    await clock.advance(1.5)
    early = waiting.done()

    await end(backend, retry)
    record = await within(waiting)

    assert not early
    assert record is not None
    assert record.attempt == 2


async def test_wait_that_times_out_returns_the_record_as_it_stands(
    backend: Backend, queue: str, clock: MovableClock
) -> None:
    record = pending(queue)
    await backend.put([record])
    start = clock.time()

    got = await passing(clock, backend.wait(record.id, timeout=2))

    assert got == record
    assert 2 <= clock.time() - start < 4


async def test_commit_through_another_adapter_ends_a_wait(
    site: Place, backend: Backend, delivery: Delivery, clock: MovableClock
) -> None:
    await backend.put([Record(delivery.message.id, "add", delivery.message.queue)])
    waiting = await under_way(backend.wait(delivery.message.id, timeout=600))

    async with site.opened() as other:
        await end(backend_of(other), delivery)
        record = await passing(clock, waiting, seconds=2)

    assert record is not None
    assert record.value == b"3"


async def test_one_commit_ends_many_waits(backend: Backend, delivery: Delivery, queue: str) -> None:
    other = pending(queue)
    await backend.put([Record(delivery.message.id, "add", queue), other])
    waits = [asyncio.create_task(backend.wait(delivery.message.id, timeout=600)) for _ in range(200)]
    stays = await under_way(backend.wait(other.id, timeout=600))

    await end(backend, delivery)
    records = await within(asyncio.gather(*waits))

    assert {record and record.value for record in records} == {b"3"}
    assert not stays.done()
    stays.cancel()
    await asyncio.wait([stays])


async def test_abandoned_waits_leave_nothing_behind(
    backend: Backend, queue: str, clock: MovableClock
) -> None:
    records = [pending(queue) for _ in range(400)]
    await backend.put(records)
    await abandon(backend, records[:100])
    tasks, things = len(asyncio.all_tasks()), living()

    await abandon(backend, records[100:])

    await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
    # each wait that left anything would leave one thing at least
    await eventually(lambda: living() < things + 300, deadline=30)
    assert not isinstance(clock, VirtualClock) or clock.waiting < 100


async def test_forgotten_value_is_shown_no_more(backend: Backend, delivery: Delivery) -> None:
    await end(backend, delivery)

    await backend.forget([delivery.message.id, "nobody"])

    assert await backend.get([delivery.message.id]) == [None]
    assert await within(backend.wait(delivery.message.id, timeout=600)) is None


async def test_record_forgotten_while_open_is_not_shown_when_it_ends(
    backend: Backend, delivery: Delivery
) -> None:
    await backend.claim([delivery], owner="owner", worker="w")
    await backend.forget([delivery.message.id])

    committed = await backend.commit([Ending(delivery, State.SUCCESS, value=b"3")], owner="owner")

    assert list(committed) == [Committed()]
    assert await backend.get([delivery.message.id]) == [None]


async def test_wait_ends_when_its_record_is_forgotten(
    backend: Backend, delivery: Delivery, clock: MovableClock
) -> None:
    await backend.claim([delivery], owner="owner", worker="w")
    waiting = await under_way(backend.wait(delivery.message.id, timeout=600))
    await backend.forget([delivery.message.id])
    await backend.commit([Ending(delivery, State.SUCCESS, value=b"3")], owner="owner")

    assert await passing(clock, waiting, seconds=2) is None


async def test_what_forgotten_task_ended_with_still_keeps_it_from_running(
    backend: Backend, delivery: Delivery
) -> None:
    await end(backend, delivery)
    await backend.forget([delivery.message.id])

    (start,) = await backend.claim([delivery], owner="another", worker="w")

    assert start.verdict is Verdict.COMMITTED


async def abandon(backend: Backend, records: list[Record]) -> None:
    """Wait for each of *records*, twice, and then no longer."""
    waits = [asyncio.create_task(backend.wait(record.id, timeout=600)) for record in records * 2]
    await pause(0.1)
    assert not any(wait.done() for wait in waits)
    for wait in waits:
        wait.cancel()
    await asyncio.wait(waits, timeout=10)


def living() -> int:
    """How many objects there are."""
    gc.collect()
    return len(gc.get_objects())

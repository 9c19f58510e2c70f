"""Commit: of all attempts at a task whose broker is another store, one ends it."""

from __future__ import annotations

import asyncio

import pytest

from aioqueue.models.state import State
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.messages import Delivery, Ending, Record
from tests.support.clocks import MovableClock
from tests.support.twostep import alive, claim, commit, record_of
from tests.support.waiting import lent, message, messages

pytestmark = pytest.mark.anyio

LEASE = 2.0


async def test_commit_writes_what_the_attempt_came_to(
    backend: Backend, first: Delivery, owner: str, clock: MovableClock
) -> None:
    await claim(backend, first, owner)
    started = (await record_of(backend, first)).started
    await clock.advance(1)

    committed = await commit(backend, Ending(first, State.SUCCESS, value=b"[1,2]"), owner)
    record = await record_of(backend, first)

    assert committed
    assert (record.state, record.value, record.error, record.attempt) == (State.SUCCESS, b"[1,2]", None, 1)
    assert (record.started, record.worker, record.due) == (started, f"worker of {owner}", None)
    assert record.finished == pytest.approx(clock.time(), abs=0.5)


async def test_retry_shows_its_error_and_when_it_is_due(
    backend: Backend, first: Delivery, owner: str, clock: MovableClock
) -> None:
    await claim(backend, first, owner)
    due = clock.time() + 60

    await commit(backend, Ending(first, State.RETRY, error=b'{"message":"no"}', next_at=due), owner)
    record = await record_of(backend, first)

    assert (record.state, record.attempt, record.error) == (State.RETRY, 1, b'{"message":"no"}')
    assert record.due == pytest.approx(due)


async def test_commit_needs_a_claim(backend: Backend, first: Delivery, queue: str, owner: str) -> None:
    unknown, waiting, unclaimed = first, lent(message(queue)), lent(message(queue))
    await backend.put([Record(waiting.message.id, "add", queue)])
    await claim(backend, unclaimed, owner)
    await backend.unclaim([unclaimed], owner=owner)

    committed = await backend.commit(
        [Ending(delivery, State.SUCCESS) for delivery in (unknown, waiting, unclaimed)], owner=owner
    )

    assert list(committed) == [None, None, None]
    assert (await record_of(backend, waiting)).state is State.PENDING


async def test_commit_of_another_owner_writes_nothing(backend: Backend, first: Delivery, owner: str) -> None:
    await claim(backend, first, owner)

    assert not await commit(backend, Ending(first, State.FAILURE), "another")
    assert (await record_of(backend, first)).state is State.STARTED
    assert await commit(backend, Ending(first, State.SUCCESS), owner)


async def test_commit_of_another_attempt_writes_nothing(
    backend: Backend, first: Delivery, second: Delivery, owner: str
) -> None:
    await claim(backend, first, owner)

    assert not await commit(backend, Ending(second, State.SUCCESS), owner)
    assert (await record_of(backend, first)).state is State.STARTED


async def test_repeat_of_a_commit_is_true_and_changes_nothing(
    backend: Backend, first: Delivery, owner: str
) -> None:
    await claim(backend, first, owner)
    await commit(backend, Ending(first, State.SUCCESS, value=b"1"), owner)
    once = await record_of(backend, first)

    again = await commit(backend, Ending(first, State.FAILURE, value=b"2"), owner)

    assert again
    assert await record_of(backend, first) == once


async def test_nobody_else_can_repeat_a_commit(backend: Backend, first: Delivery, owner: str) -> None:
    await claim(backend, first, owner)
    await commit(backend, Ending(first, State.SUCCESS, value=b"1"), owner)

    assert not await commit(backend, Ending(first, State.FAILURE), "another")
    assert (await record_of(backend, first)).value == b"1"


async def test_of_two_racing_owners_the_one_on_record_commits(
    backend: Backend, queue: str, owner: str, clock: MovableClock
) -> None:
    deliveries = [lent(m) for m in messages(queue, 20)]
    await alive(backend, owner, seconds=LEASE)
    await backend.claim(deliveries, owner=owner, worker="w")
    await clock.advance(LEASE * 1.1)
    await backend.claim(deliveries, owner="heir", worker="w")

    won = await asyncio.gather(
        *(
            commit(backend, Ending(delivery, State.SUCCESS, value=name.encode()), name)
            for delivery in deliveries
            for name in (owner, "heir")
        )
    )
    records = await backend.get([delivery.message.id for delivery in deliveries])

    assert won == [False, True] * 20
    assert {record and record.value for record in records} == {b"heir"}

"""History: what is remembered of attempts that were not the last, in one store and in two."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aioqueue.ids import new_id
from aioqueue.models.state import State
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.broker import Broker
from aioqueue.protocols.messages import HISTORY, Delivery, Ending, Message
from tests.support.clocks import MovableClock
from tests.support.onestep import Hand, OneStep
from tests.support.twostep import claim, commit
from tests.support.waiting import message

pytestmark = pytest.mark.anyio


def after(sent: Message, attempt: int) -> Message:
    return replace(sent, attempt=attempt)


async def test_attempts_in_one_store_are_remembered_in_order(
    shop: OneStep, hand: Hand, queue: str, clock: MovableClock
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    for number in (1, 2):
        delivery = await hand.one()
        await hand.end(
            delivery,
            State.RETRY,
            error=b"no %d" % number,
            follow=(after(sent, number + 1),),
            next_at=clock.time(),
        )
    await hand.end(await hand.one(), State.SUCCESS, value=b"1")

    found = await shop.backend.history(sent.id)
    assert [(a.number, a.error, a.worker) for a in found] == [
        (1, b"no 1", "worker-1"),
        (2, b"no 2", "worker-1"),
    ]
    for a in found:
        assert a.started is not None
        assert a.next_at is not None
        assert a.started <= a.ended + 0.001
        assert a.ended == pytest.approx(clock.time(), abs=1)


async def test_attempts_in_two_stores_are_remembered(
    backend: Backend, first: Delivery, second: Delivery, owner: str, clock: MovableClock
) -> None:
    await claim(backend, first, owner)
    due = clock.time() + 7
    await commit(backend, Ending(first, State.RETRY, error=b"no", next_at=due), owner)
    (waits,) = await backend.history(first.message.id)
    await claim(backend, second, owner)
    await commit(backend, Ending(second, State.FAILURE, error=b"at last"), owner)

    assert (waits.number, waits.error, waits.worker) == (1, b"no", f"worker of {owner}")
    assert waits.next_at == pytest.approx(due, abs=0.001)
    assert await backend.history(first.message.id) == [waits]


async def test_only_the_last_attempts_are_remembered(
    shop: OneStep, hand: Hand, queue: str, clock: MovableClock
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    for number in range(1, HISTORY + 4):
        delivery = await hand.one()
        await hand.end(delivery, State.RETRY, follow=(after(sent, number + 1),), next_at=clock.time())

    found = await shop.backend.history(sent.id)
    assert [a.number for a in found] == list(range(4, HISTORY + 4))


async def test_attempt_that_died_with_its_worker_is_remembered(
    shop: OneStep, broker: Broker, queue: str
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    async with shop.hand(queue, worker="victim") as victim:
        await victim.one()
        await broker.bury(victim.consumer.id)

    (lost,) = await shop.backend.history(sent.id)
    assert (lost.number, lost.error, lost.worker, lost.next_at) == (1, None, "victim", None)
    assert lost.started is not None


async def test_claim_that_takes_over_remembers_the_attempt_that_was_lost(
    backend: Backend, first: Delivery, owner: str
) -> None:
    dead = new_id()
    await claim(backend, first, dead)
    await claim(backend, first, owner)

    (lost,) = await backend.history(first.message.id)
    assert (lost.number, lost.error, lost.worker) == (1, None, f"worker of {dead}")


async def test_task_that_succeeds_at_once_or_that_nobody_knows_has_none(
    shop: OneStep, hand: Hand, queue: str
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    await hand.end(await hand.one())

    assert await shop.backend.history(sent.id) == []
    assert await shop.backend.history(new_id()) == []


async def test_what_is_remembered_lasts_as_long_as_the_record(
    shop: OneStep, hand: Hand, broker: Broker, queue: str, clock: MovableClock
) -> None:
    kept, forgotten = message(queue), message(queue)
    for sent in (kept, forgotten):
        await shop.submit(sent)
        delivery = await hand.one()
        await hand.end(delivery, State.RETRY, follow=(after(sent, 2),), next_at=clock.time())
        await hand.end(await hand.one(), ttl=1)
    await shop.backend.forget([forgotten.id])
    before = [len(await shop.backend.history(sent.id)) for sent in (kept, forgotten)]

    await clock.advance(1.1)
    await broker.maintain()

    assert before == [1, 0]
    assert await shop.backend.history(kept.id) == []

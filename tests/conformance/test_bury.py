"""Bury: a holder that is known to be dead has its lease ended at once, and no time need pass."""

from __future__ import annotations

import pytest

from aioqueue.ids import new_id
from aioqueue.models.state import State
from aioqueue.models.stats import QueueStats
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.broker import Broker, Consumer
from aioqueue.protocols.messages import Delivery, Ending, Settlement, Start, Verdict
from tests.support.clocks import MovableClock
from tests.support.counting import counts
from tests.support.onestep import Hand, OneStep
from tests.support.twostep import alive, beat, claim, commit, record_of
from tests.support.waiting import ids, message, messages, one, ready, take, under_way, within

pytestmark = pytest.mark.anyio


async def test_what_a_buried_consumer_held_is_handed_out_at_once_as_a_loss(
    broker: Broker, queue: str, consumer: Consumer, rival: Consumer
) -> None:
    sent = messages(queue, 3)
    await broker.publish(sent)
    await take(rival, 3)

    moved = await broker.bury(rival.id)
    got = await ready(consumer)

    assert moved == 3
    assert [(d.message, d.losses) for d in got] == [(m, 1) for m in sent]


async def test_burial_wakes_a_waiting_receive(
    broker: Broker, queue: str, consumer: Consumer, rival: Consumer
) -> None:
    await broker.publish([message(queue)])
    await one(rival)
    waiting = await under_way(consumer.receive(1, timeout=60))

    await broker.bury(rival.id)

    assert len(await within(waiting)) == 1


async def test_more_than_one_step_of_upkeep_is_handed_on(
    broker: Broker, queue: str, consumer: Consumer, rival: Consumer
) -> None:
    await broker.publish(messages(queue, 450))
    await take(rival, 450)

    moved = await broker.bury(rival.id)

    assert moved == 450
    assert {delivery.losses for delivery in await take(consumer, 450)} == {1}


async def test_buried_consumer_is_dead_to_its_lease_and_its_receive(
    broker: Broker, queue: str, rival: Consumer
) -> None:
    await broker.bury(rival.id)
    await broker.publish([message(queue)])

    assert not await beat(rival.lease())
    assert not await beat(rival.lease())
    assert await ready(rival) == []
    assert await counts(broker, queue) == QueueStats(queue=queue, ready=1)


async def test_buried_consumer_settles_nothing(
    broker: Broker, queue: str, consumer: Consumer, rival: Consumer
) -> None:
    await broker.publish([message(queue)])
    lost = await one(rival)
    await broker.bury(rival.id)
    early = await rival.settle([Settlement(lost, follow=(message(queue),))])
    delivery = await one(consumer)

    late = await rival.settle([Settlement(lost, follow=(message(queue),), dead="late")])
    await rival.release([lost])

    assert (list(early), list(late)) == ([False], [False])
    assert await counts(broker, queue) == QueueStats(queue=queue, held=1)
    assert list(await consumer.settle([Settlement(delivery)])) == [True]


async def test_second_burial_finds_nothing(
    broker: Broker, queue: str, consumer: Consumer, rival: Consumer
) -> None:
    await broker.publish([message(queue)])
    await one(rival)

    moved = [await broker.bury(rival.id), await broker.bury(rival.id), await broker.maintain()]

    assert moved == [1, 0, 0]
    assert (await one(consumer)).losses == 1


async def test_unknown_consumer_is_none(broker: Broker) -> None:
    assert await broker.bury(new_id()) == 0


async def test_consumer_that_left_is_none(broker: Broker, queue: str, consumer: Consumer) -> None:
    await broker.publish([message(queue)])
    async with broker.consume([queue], prefetch=1, lease=600, worker="w") as left:
        await one(left)

    assert await broker.bury(left.id) == 0
    assert (await one(consumer)).losses == 0


async def test_burial_leaves_the_living_what_they_hold(
    broker: Broker, queue: str, consumer: Consumer, rival: Consumer
) -> None:
    await broker.publish(messages(queue, 2))
    mine, theirs = await one(consumer), await one(rival)

    await broker.bury(rival.id)

    assert ids(await ready(consumer)) == [theirs.message.id]
    assert await beat(consumer.lease())
    assert list(await consumer.settle([Settlement(mine)])) == [True]


async def test_buried_consumer_finishes_nothing_and_its_task_waits_again(
    shop: OneStep, broker: Broker, queue: str, hand: Hand
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    async with shop.hand(queue) as mortal:
        lost = await mortal.one()
        await broker.bury(mortal.consumer.id)
        waiting = await shop.record(sent.id)
        early = await mortal.end(lost, value=b"early")
        delivery = await hand.one()
        late = await mortal.end(lost, value=b"late")
        running = await shop.record(sent.id)

    assert (waiting.state, waiting.losses, waiting.worker) == (State.PENDING, 1, None)
    assert (early, late) == (False, False)
    assert (running.state, running.losses, running.worker) == (State.STARTED, 1, "worker-1")
    assert await hand.end(delivery, value=b"1")


async def test_claim_of_a_buried_owner_is_taken_over_at_once_as_a_loss(
    backend: Backend, first: Delivery, owner: str
) -> None:
    lease = await alive(backend, owner, seconds=600)
    await claim(backend, first, owner)
    busy = await claim(backend, first, "heir")

    await backend.bury(owner)
    start = await claim(backend, first, "heir")

    assert busy.verdict is Verdict.BUSY
    assert start == Start(Verdict.RUN, losses=1)
    assert (await record_of(backend, first)).losses == 1
    assert not await beat(lease)
    assert not await commit(backend, Ending(first, State.SUCCESS), owner)


async def test_owner_may_be_buried_twice_and_unknown(backend: Backend, first: Delivery, owner: str) -> None:
    await alive(backend, owner, seconds=600)
    await claim(backend, first, owner)
    for _ in range(2):
        await backend.bury(owner)
        await backend.bury(new_id())

    assert await claim(backend, first, "heir") == Start(Verdict.RUN, losses=1)


async def test_broker_says_how_it_is_in_sentences(broker: Broker) -> None:
    said = await broker.health()

    assert not isinstance(said, str)
    assert all(said)


async def test_broker_says_what_it_is(broker: Broker, clock: MovableClock) -> None:
    said = await broker.about()

    assert said.time is None or abs(said.time - clock.time()) < 60
    assert all(said.details.values())

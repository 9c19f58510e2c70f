"""Leases: what a consumer holds while it lives, and who gets it when it does not."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AbstractAsyncContextManager

import pytest

from aioqueue.models.stats import QueueStats
from aioqueue.protocols.broker import Broker, Consumer
from aioqueue.protocols.messages import SUSPECT, Settlement
from tests.support.clocks import MovableClock
from tests.support.counting import counts
from tests.support.twostep import beat
from tests.support.waiting import ids, message, messages, one, ready, take, under_way, within

pytestmark = pytest.mark.anyio

LEASE = 2.0


def consuming(broker: Broker, queue: str, *, lease: float = LEASE) -> AbstractAsyncContextManager[Consumer]:
    return broker.consume([queue], prefetch=1_000, lease=lease, worker="mortal")


async def test_lease_is_alive_from_the_start(broker: Broker, queue: str, clock: MovableClock) -> None:
    async with consuming(broker, queue) as mortal:
        await clock.advance(LEASE * 0.75)

        assert await beat(mortal.lease())


async def test_beats_keep_what_is_held(
    broker: Broker, queue: str, clock: MovableClock, consumer: Consumer
) -> None:
    await broker.publish([message(queue)])
    async with consuming(broker, queue) as mortal:
        delivery = await one(mortal)
        for _ in range(4):
            await clock.advance(LEASE * 0.75)
            assert await beat(mortal.lease())

        moved = await broker.maintain()

        assert moved == 0
        assert await ready(consumer) == []
        assert list(await mortal.settle([Settlement(delivery)])) == [True]


async def test_beat_after_a_lapse_is_false(broker: Broker, queue: str, clock: MovableClock) -> None:
    async with consuming(broker, queue) as mortal:
        lease = mortal.lease()
        await clock.advance(LEASE * 1.1)

        assert not await beat(lease)
        assert not await beat(lease)


async def test_beat_after_the_lease_was_judged_is_false(
    broker: Broker, queue: str, clock: MovableClock
) -> None:
    async with consuming(broker, queue) as mortal:
        await clock.advance(LEASE * 1.1)
        await broker.maintain()

        assert not await beat(mortal.lease())


async def test_beat_works_while_the_loop_is_blocked(broker: Broker, queue: str, clock: MovableClock) -> None:
    async with consuming(broker, queue) as mortal:
        lease = mortal.lease()
        await clock.advance(LEASE * 0.75)
        answers: list[bool] = []
        heart = threading.Thread(target=lambda: answers.append(lease.beat()), daemon=True)

        heart.start()
        heart.join(timeout=10)
        await clock.advance(LEASE * 0.75)

        assert answers == [True]
        assert await beat(lease)


async def test_what_a_lapsed_consumer_held_is_handed_on_as_a_loss(
    broker: Broker, queue: str, clock: MovableClock, consumer: Consumer
) -> None:
    sent = messages(queue, 2)
    await broker.publish(sent)
    async with consuming(broker, queue) as mortal:
        await take(mortal, 2)
        await clock.advance(LEASE * 1.1)

        moved = await broker.maintain()
        got = await take(consumer, 2)

    assert moved == 2
    assert [(d.message, d.losses) for d in got] == [(m, 1) for m in sent]


async def test_nothing_is_handed_on_before_the_lease_has_lapsed(
    broker: Broker, queue: str, clock: MovableClock, consumer: Consumer
) -> None:
    await broker.publish([message(queue)])
    async with consuming(broker, queue) as mortal:
        await one(mortal)
        early = await broker.maintain()
        await clock.advance(LEASE * 0.75)
        late = await broker.maintain()

        assert (early, late) == (0, 0)
        assert await counts(broker, queue) == QueueStats(queue=queue, held=1)


async def test_living_consumer_keeps_what_it_holds_beside_a_lapsed_one(
    broker: Broker, queue: str, clock: MovableClock, consumer: Consumer
) -> None:
    await broker.publish(messages(queue, 2))
    living = await one(consumer)
    async with consuming(broker, queue) as mortal:
        lost = await one(mortal)
        await clock.advance(LEASE * 1.1)

        moved = await broker.maintain()

    assert moved == 1
    assert ids(await ready(consumer)) == [lost.message.id]
    assert list(await consumer.settle([Settlement(living)])) == [True]


async def test_each_death_is_counted(
    broker: Broker, queue: str, clock: MovableClock, consumer: Consumer
) -> None:
    await broker.publish([message(queue)])
    for _ in range(3):
        async with consuming(broker, queue) as mortal:
            await one(mortal)
            await clock.advance(LEASE * 1.1)
            await broker.maintain()

    assert (await one(consumer)).losses == 3


async def test_losses_outlive_a_release(
    broker: Broker, queue: str, clock: MovableClock, consumer: Consumer
) -> None:
    await broker.publish([message(queue)])
    async with consuming(broker, queue) as mortal:
        await one(mortal)
        await clock.advance(LEASE * 1.1)
        await broker.maintain()
    await consumer.release([await one(consumer)])

    assert (await one(consumer)).losses == 1


async def test_many_held_messages_are_handed_on_in_one_round(
    broker: Broker, queue: str, clock: MovableClock, consumer: Consumer
) -> None:
    await broker.publish(messages(queue, 450))
    async with consuming(broker, queue) as mortal:
        await take(mortal, 450)
        await clock.advance(LEASE * 1.1)

        moved = await broker.maintain()

    assert moved == 450
    assert len(await take(consumer, 450)) == 450


async def test_handing_on_wakes_a_waiting_receive(
    broker: Broker, queue: str, clock: MovableClock, consumer: Consumer
) -> None:
    await broker.publish([message(queue)])
    async with consuming(broker, queue) as mortal:
        await one(mortal)
        waiting = await under_way(consumer.receive(1, timeout=60))
        await clock.advance(LEASE * 1.1)
        await broker.maintain()

        assert len(await within(waiting)) == 1


async def test_late_settle_of_the_old_holder_does_nothing(
    broker: Broker, queue: str, clock: MovableClock, consumer: Consumer
) -> None:
    await broker.publish([message(queue)])
    async with consuming(broker, queue) as mortal:
        lost = await one(mortal)
        await clock.advance(LEASE * 1.1)
        await broker.maintain()
        waiting = await mortal.settle([Settlement(lost, follow=(message(queue),))])
        delivery = await one(consumer)

        held = await mortal.settle([Settlement(lost, follow=(message(queue),), dead="late")])

    assert (list(waiting), list(held)) == ([False], [False])
    assert await counts(broker, queue) == QueueStats(queue=queue, held=1)
    assert list(await consumer.settle([Settlement(delivery)])) == [True]


async def test_late_release_of_the_old_holder_does_nothing(
    broker: Broker, queue: str, clock: MovableClock, consumer: Consumer
) -> None:
    await broker.publish([message(queue)])
    async with consuming(broker, queue) as mortal:
        lost = await one(mortal)
        await clock.advance(LEASE * 1.1)
        await broker.maintain()
        await one(consumer)

        await mortal.release([lost])

    assert await counts(broker, queue) == QueueStats(queue=queue, held=1)


async def test_lapsed_consumer_is_handed_nothing(broker: Broker, queue: str, clock: MovableClock) -> None:
    async with consuming(broker, queue) as mortal:
        await clock.advance(LEASE * 1.1)
        await broker.publish([message(queue)])

        unjudged = await ready(mortal)
        await broker.maintain()
        judged = await ready(mortal)

        assert (unjudged, judged) == ([], [])
        assert await counts(broker, queue) == QueueStats(queue=queue, ready=1)


async def test_lapsed_consumer_waits_as_long_as_it_said(
    broker: Broker, queue: str, clock: MovableClock
) -> None:
    await broker.publish([message(queue, delay=1)])
    async with consuming(broker, queue) as mortal:
        await clock.advance(LEASE * 1.1)
        waiting = await under_way(mortal.receive(1, timeout=3))
        await clock.advance(3.1)

        assert await within(waiting) == []


async def test_lapsed_consumer_can_be_woken(broker: Broker, queue: str, clock: MovableClock) -> None:
    await broker.publish([message(queue)])
    async with consuming(broker, queue) as mortal:
        await clock.advance(LEASE * 1.1)
        waiting = await under_way(mortal.receive(1, timeout=600))
        mortal.wake()

        assert await within(waiting) == []


async def test_one_death_is_counted_once_though_the_dead_goes_on_asking(
    broker: Broker, queue: str, clock: MovableClock, consumer: Consumer
) -> None:
    await broker.publish(messages(queue, 250))
    async with consuming(broker, queue) as mortal:
        await take(mortal, 250)
        asking = await under_way(mortal.receive(500, timeout=LEASE))
        await clock.advance(LEASE * 1.1)
        await within(asking)
        asking = await under_way(mortal.receive(500, timeout=600))

        moved = [await broker.maintain(), await broker.maintain()]
        mortal.wake()
        await within(asking)

    assert moved == [250, 0]
    assert {delivery.losses for delivery in await take(consumer, 250)} == {1}


async def test_dropped_lease_need_not_lapse(broker: Broker, queue: str, consumer: Consumer) -> None:
    await broker.publish([message(queue)])
    async with consuming(broker, queue, lease=600) as mortal:
        await one(mortal)
        await within(asyncio.to_thread(mortal.lease().drop))

        moved = await broker.maintain()

        assert moved == 1
        assert (await one(consumer)).losses == 1
        assert not await beat(mortal.lease())


async def test_lease_may_be_dropped_twice(broker: Broker, queue: str) -> None:
    async with consuming(broker, queue) as mortal:
        lease = mortal.lease()
        await within(asyncio.to_thread(lease.drop))
        await within(asyncio.to_thread(lease.drop))

        assert not await beat(lease)


async def test_leaving_gives_back_at_once_and_counts_nothing(
    broker: Broker, queue: str, consumer: Consumer
) -> None:
    sent = messages(queue, 3)
    await broker.publish(sent)
    async with consuming(broker, queue) as mortal:
        await take(mortal, 2)
        waiting = await under_way(_settled_by(consumer, 3))

    got = await within(waiting)

    assert sorted(got) == sorted((m.id, 0) for m in sent)


async def test_what_leaving_gave_back_keeps_its_place(broker: Broker, queue: str, consumer: Consumer) -> None:
    sent = messages(queue, 3)
    await broker.publish(sent)
    async with consuming(broker, queue) as mortal:
        await take(mortal, 2)

    assert ids(await take(consumer, 3)) == [m.id for m in sent]


async def test_leaving_after_a_failure_gives_back_too(broker: Broker, queue: str, consumer: Consumer) -> None:
    await broker.publish([message(queue)])
    with pytest.raises(LookupError):
        async with consuming(broker, queue) as mortal:
            await one(mortal)
            raise LookupError

    assert len(await ready(consumer)) == 1


async def test_left_consumer_can_settle_nothing(broker: Broker, queue: str) -> None:
    await broker.publish([message(queue)])
    async with consuming(broker, queue) as mortal:
        delivery = await one(mortal)

    late = await mortal.settle([Settlement(delivery, follow=(message(queue),))])

    assert list(late) == [False]
    assert await counts(broker, queue) == QueueStats(queue=queue, ready=1)


async def test_lease_of_a_left_consumer_is_gone(broker: Broker, queue: str) -> None:
    async with consuming(broker, queue) as mortal:
        lease = mortal.lease()

    assert not await beat(lease)


async def _settled_by(consumer: Consumer, count: int) -> list[tuple[str, int]]:
    got = await take(consumer, count)
    await consumer.settle([Settlement(delivery) for delivery in got])
    return [(delivery.message.id, delivery.losses) for delivery in got]


async def test_suspects_are_handed_out_one_at_a_time(broker: Broker, queue: str, clock: MovableClock) -> None:
    await broker.publish(messages(queue, 3))
    for _ in range(SUSPECT):
        async with consuming(broker, queue) as mortal:
            await take(mortal, 3)
            await clock.advance(LEASE + 0.1)
            await broker.maintain()
    await broker.publish([message(queue)])

    async with consuming(broker, queue) as heir:
        first = await ready(heir)
        second = await ready(heir)
        await heir.settle([Settlement(delivery) for delivery in first])
        third = await ready(heir)

    assert sorted(delivery.losses for delivery in first) == [0, SUSPECT]
    assert second == []
    assert [delivery.losses for delivery in third] == [SUSPECT]

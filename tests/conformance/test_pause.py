"""Pause and resume: a flag of the store's that the step looks at which hands a message out."""

from __future__ import annotations

import pytest

from aioqueue.protocols.broker import Broker, Consumer
from aioqueue.protocols.messages import Settlement
from tests.support.clocks import MovableClock
from tests.support.onestep import OneStep
from tests.support.stores import Place, broker_of
from tests.support.waiting import ids, message, messages, one, pause, ready, take, under_way, within

pytestmark = pytest.mark.anyio

LEASE = 600.0


async def test_nothing_of_a_paused_queue_is_handed_out(
    broker: Broker, consumer: Consumer, queue: str
) -> None:
    await broker.publish(messages(queue, 3))

    assert await broker.pause(queue)

    assert await ready(consumer) == []
    assert [(s.ready, s.paused) for s in await broker.stats([queue])] == [(3, True)]


async def test_pause_and_resume_tell_whether_they_changed_anything(broker: Broker, queue: str) -> None:
    answers = [
        await broker.resume(queue),
        await broker.pause(queue),
        await broker.pause(queue),
        await broker.resume(queue),
        await broker.resume(queue),
    ]

    assert answers == [False, True, False, True, False]


async def test_paused_queue_is_counted_though_it_holds_nothing(broker: Broker, queue: str) -> None:
    await broker.pause(queue)

    paused = {stats.queue: stats.paused for stats in await broker.stats()}
    await broker.resume(queue)

    assert paused[queue]
    assert [stats.paused for stats in await broker.stats([queue])] == [False]


async def test_message_sent_to_a_paused_queue_waits_though_somebody_waits_for_it(
    broker: Broker, consumer: Consumer, queue: str
) -> None:
    waiting = await under_way(consumer.receive(10, timeout=60))
    await broker.pause(queue)

    assert list(await broker.publish(messages(queue, 2))) == [True, True]
    await pause(0.2)

    assert not waiting.done()
    consumer.wake()
    assert await within(waiting) == []
    assert [stats.ready for stats in await broker.stats([queue])] == [2]


async def test_resume_wakes_who_waits(broker: Broker, consumer: Consumer, queue: str) -> None:
    await broker.pause(queue)
    sent = messages(queue, 2)
    await broker.publish(sent)
    waiting = await under_way(consumer.receive(10, timeout=60), seconds=0.3)

    await broker.resume(queue)

    assert ids(await within(waiting, deadline=1.5)) == [m.id for m in sent]


async def test_order_of_acceptance_outlasts_a_pause(broker: Broker, consumer: Consumer, queue: str) -> None:
    sent = messages(queue, 30)
    await broker.publish(sent[:10])
    await broker.pause(queue)
    await broker.publish(sent[10:20])
    assert await ready(consumer) == []
    await broker.resume(queue)
    await broker.publish(sent[20:])

    assert ids(await take(consumer, 30)) == [m.id for m in sent]


async def test_what_is_held_goes_on(broker: Broker, consumer: Consumer, queue: str) -> None:
    await broker.publish([message(queue)])
    held = await one(consumer)
    await broker.pause(queue)

    assert list(await consumer.settle([Settlement(held, follow=(message(queue),))])) == [True]

    (stats,) = await broker.stats([queue])
    assert (stats.ready, stats.held) == (1, 0)
    assert await ready(consumer) == []


async def test_what_is_given_back_waits_for_the_resume(
    broker: Broker, consumer: Consumer, queue: str
) -> None:
    await broker.publish([message(queue)])
    held = await one(consumer)
    await broker.pause(queue)
    await consumer.release([held])

    during = await ready(consumer)
    await broker.resume(queue)

    assert during == []
    assert ids(await take(consumer)) == [held.message.id]


async def test_delayed_message_becomes_due_and_waits(
    broker: Broker, consumer: Consumer, queue: str, clock: MovableClock
) -> None:
    await broker.publish([message(queue, delay=1)])
    await broker.pause(queue)
    await clock.advance(1.5)

    during = await ready(consumer)
    (stats,) = await broker.stats([queue])
    await broker.resume(queue)

    assert during == []
    assert (stats.ready, stats.delayed) == (1, 0)
    assert len(await take(consumer)) == 1


async def test_other_queues_of_the_same_consumer_go_on(broker: Broker, queue: str) -> None:
    other = f"{queue}-2"
    await broker.pause(queue)
    async with broker.consume([queue, other], prefetch=10, lease=LEASE, worker="w") as consumer:
        waiting = await under_way(consumer.receive(10, timeout=60))
        await broker.publish([message(queue), message(other)])

        got = await within(waiting)
        more = await ready(consumer)

    assert [delivery.message.queue for delivery in got] == [other]
    assert more == []


async def test_what_waits_behind_a_dead_worker_waits_for_the_resume(broker: Broker, queue: str) -> None:
    await broker.publish(messages(queue, 2))
    async with (
        broker.consume([queue], prefetch=10, lease=LEASE, worker="w") as dead,
        broker.consume([queue], prefetch=10, lease=LEASE, worker="w") as heir,
    ):
        await take(dead, 2)
        await broker.pause(queue)
        assert await broker.bury(dead.id) == 2

        during = await ready(heir)
        await broker.resume(queue)

        assert during == []
        assert len(await take(heir)) >= 1


async def test_pause_outlasts_those_who_were_connected(site: Place, queue: str) -> None:
    async with site.opened() as adapter:
        await broker_of(adapter).publish([message(queue)])
        await broker_of(adapter).pause(queue)

    async with site.opened() as adapter:
        broker = broker_of(adapter)
        async with broker.consume([queue], prefetch=1, lease=LEASE, worker="w") as consumer:
            during = await ready(consumer)
            await broker.resume(queue)

            assert during == []
            assert len(await take(consumer)) == 1


async def test_nothing_is_begun_in_a_paused_queue(shop: OneStep, queue: str) -> None:
    sent = message(queue)
    await shop.submit(sent)
    await shop.broker.pause(queue)
    async with shop.hand(queue) as hand:
        during = await ready(hand.consumer)
        record = await shop.record(sent.id)
        await shop.broker.resume(queue)

        assert during == []
        assert (record.state, record.started) == ("PENDING", None)
        assert (await hand.one()).message.id == sent.id

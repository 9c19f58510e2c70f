"""How a delivery ends: settled with what follows, released, or buried; and what is counted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aioqueue.models.stats import QueueStats
from aioqueue.protocols.broker import Broker, Consumer
from aioqueue.protocols.messages import Settlement
from tests.support.clocks import MovableClock
from tests.support.counting import buried, counts
from tests.support.waiting import ids, message, messages, one, passing, ready, take, under_way, within

pytestmark = pytest.mark.anyio

LEASE = 600.0


async def test_settled_message_is_forgotten(broker: Broker, consumer: Consumer, queue: str) -> None:
    await broker.publish(messages(queue, 2))
    first, second = await take(consumer, 2)

    settled = await consumer.settle([Settlement(first), Settlement(second)])

    assert list(settled) == [True, True]
    assert await counts(broker, queue) == QueueStats(queue=queue)


async def test_settle_publishes_what_follows(broker: Broker, consumer: Consumer, queue: str) -> None:
    await broker.publish([message(queue)])
    here, there = message(queue), message(f"{queue}-2")

    await consumer.settle([Settlement(await one(consumer), follow=(here, there))])

    assert ids(await take(consumer)) == [here.id]
    assert await counts(broker, f"{queue}-2") == QueueStats(queue=f"{queue}-2", ready=1)


async def test_what_follows_wakes_a_waiting_receive(broker: Broker, consumer: Consumer, queue: str) -> None:
    await broker.publish([message(queue)])
    delivery = await one(consumer)
    follow = message(f"{queue}-2")

    async with broker.consume([f"{queue}-2"], prefetch=1, lease=LEASE, worker="w2") as other:
        waiting = await under_way(other.receive(1, timeout=60))
        await consumer.settle([Settlement(delivery, follow=(follow,))])
        got = await within(waiting)

    assert ids(got) == [follow.id]


async def test_next_attempt_may_follow_its_own(
    broker: Broker, consumer: Consumer, queue: str, clock: MovableClock
) -> None:
    first = message(queue)
    await broker.publish([first])
    retry = message(queue, id=first.id, attempt=2, delay=2)

    await consumer.settle([Settlement(await one(consumer), follow=(retry,))])
    early = await ready(consumer)
    await clock.advance(2.1)

    assert early == []
    assert replace((await one(consumer)).message, delay=2) == retry


async def test_copy_among_what_follows_is_dropped(broker: Broker, consumer: Consumer, queue: str) -> None:
    first, waiting = messages(queue, 2)
    await broker.publish([first, waiting])
    fresh = message(queue)

    settled = await consumer.settle([Settlement(await one(consumer), follow=(waiting, fresh))])

    assert list(settled) == [True]
    assert ids(await ready(consumer)) == [waiting.id, fresh.id]


async def test_settle_by_another_publishes_nothing(
    broker: Broker, consumer: Consumer, rival: Consumer, queue: str
) -> None:
    await broker.publish([message(queue)])
    delivery = await one(consumer)

    settled = await rival.settle([Settlement(delivery, follow=(message(queue),), dead="not mine")])

    assert list(settled) == [False]
    assert await counts(broker, queue) == QueueStats(queue=queue, held=1)
    assert list(await consumer.settle([Settlement(delivery)])) == [True]


async def test_second_settle_publishes_nothing(broker: Broker, consumer: Consumer, queue: str) -> None:
    await broker.publish([message(queue)])
    ending = Settlement(await one(consumer), follow=(message(queue),))
    await consumer.settle([ending])
    follow = await one(consumer)
    await consumer.settle([Settlement(follow)])

    again = await consumer.settle([ending])

    assert list(again) == [False]
    assert await ready(consumer) == []


async def test_receipt_is_good_for_one_lending(broker: Broker, consumer: Consumer, queue: str) -> None:
    await broker.publish([message(queue)])
    first = await one(consumer)
    await consumer.release([first])
    second = await one(consumer)

    late = await consumer.settle([Settlement(first)])

    assert list(late) == [False]
    assert list(await consumer.settle([Settlement(second)])) == [True]


async def test_each_settlement_of_a_batch_is_judged_alone(
    broker: Broker, consumer: Consumer, rival: Consumer, queue: str
) -> None:
    await broker.publish(messages(queue, 2))
    mine, theirs = await one(consumer), await one(rival)
    follows = messages(queue, 2)

    settled = await consumer.settle(
        [Settlement(theirs, follow=(follows[0],)), Settlement(mine, follow=(follows[1],))]
    )

    assert list(settled) == [False, True]
    assert ids(await ready(consumer)) == [follows[1].id]


async def test_released_message_keeps_its_place(broker: Broker, consumer: Consumer, queue: str) -> None:
    sent = messages(queue, 3)
    await broker.publish(sent)
    first = await one(consumer)

    await consumer.release([first])

    assert ids(await take(consumer, 3)) == [m.id for m in sent]


async def test_release_counts_nothing(
    broker: Broker, consumer: Consumer, rival: Consumer, queue: str
) -> None:
    sent = message(queue)
    await broker.publish([sent])
    await consumer.release([await one(consumer)])

    again = await one(rival)

    assert (again.message, again.losses, again.first_seen) == (sent, 0, None)


async def test_release_wakes_a_waiting_receive(
    broker: Broker, consumer: Consumer, rival: Consumer, queue: str
) -> None:
    await broker.publish([message(queue)])
    delivery = await one(consumer)
    waiting = await under_way(rival.receive(1, timeout=60))

    await consumer.release([delivery])

    assert ids(await within(waiting)) == [delivery.message.id]


async def test_release_with_a_delay_holds_the_message_back(
    broker: Broker, consumer: Consumer, queue: str, clock: MovableClock
) -> None:
    await broker.publish([message(queue)])
    await consumer.release([await one(consumer)], delay=2)
    start = clock.time()

    early = await ready(consumer)
    got = await passing(clock, consumer.receive(1, timeout=60))

    assert early == []
    assert len(got) == 1
    assert 2 <= clock.time() - start < 4


async def test_first_seen_is_when_it_was_first_released_with_a_delay(
    broker: Broker, consumer: Consumer, queue: str, clock: MovableClock
) -> None:
    await broker.publish([message(queue)])
    await clock.advance(1)
    moment = clock.time()
    await consumer.release([await one(consumer)], delay=1)
    await clock.advance(1.1)
    once = await one(consumer)
    await consumer.release([once], delay=1)
    await clock.advance(1.1)
    twice = await one(consumer)
    await consumer.release([twice])

    thrice = await one(consumer)

    assert once.first_seen == pytest.approx(moment, abs=0.5)
    assert once.first_seen == twice.first_seen == thrice.first_seen


async def test_release_by_another_is_ignored(
    broker: Broker, consumer: Consumer, rival: Consumer, queue: str
) -> None:
    await broker.publish([message(queue)])
    delivery = await one(consumer)

    await rival.release([delivery])

    assert await ready(rival) == []
    assert list(await consumer.settle([Settlement(delivery)])) == [True]


async def test_dead_letter_says_what_was_buried_and_why(
    broker: Broker, consumer: Consumer, queue: str, clock: MovableClock
) -> None:
    sent = message(queue, name="lost", attempt=2, body=b"\xffnot json")
    await broker.publish([sent])

    await consumer.settle([Settlement(await one(consumer), dead="no such task")])
    letters = await buried(broker, queue)

    assert [(d.id, d.name, d.attempt, d.body, d.reason) for d in letters] == [
        (sent.id, "lost", 2, b"\xffnot json", "no such task")
    ]
    assert letters[0].at == pytest.approx(clock.time(), abs=1)
    assert await ready(consumer) == []


async def test_dead_letters_come_newest_first(broker: Broker, consumer: Consumer, queue: str) -> None:
    await broker.publish(messages(queue, 5))
    for number, delivery in enumerate(await take(consumer, 5)):
        await consumer.settle([Settlement(delivery, dead=f"reason {number}")])

    letters = await buried(broker, queue)
    newest = await broker.dead_letters(limit=2)

    assert [letter.reason for letter in letters] == [f"reason {number}" for number in (4, 3, 2, 1, 0)]
    assert [letter.reason for letter in newest] == ["reason 4", "reason 3"]


async def test_dead_letter_and_what_follows_are_one_step(
    broker: Broker, consumer: Consumer, queue: str
) -> None:
    await broker.publish([message(queue)])
    alert = message(queue, name="alert")

    await consumer.settle([Settlement(await one(consumer), follow=(alert,), dead="rejected")])

    assert await counts(broker, queue) == QueueStats(queue=queue, ready=1, dead=1)


async def test_stats_count_what_waits_is_held_and_is_dead(
    broker: Broker, consumer: Consumer, queue: str, clock: MovableClock
) -> None:
    await broker.publish([*messages(queue, 6), *messages(queue, 2, delay=3)])
    first, second, third = await take(consumer, 3)
    await consumer.settle([Settlement(first, dead="why")])
    await consumer.release([second], delay=3)

    before = await counts(broker, queue)
    await clock.advance(3.1)
    after = await counts(broker, queue)

    assert before == QueueStats(queue=queue, ready=3, delayed=3, held=1, dead=1)
    assert after == QueueStats(queue=queue, ready=6, delayed=0, held=1, dead=1)
    assert list(await consumer.settle([Settlement(third)])) == [True]


async def test_stats_answer_for_each_queue_that_is_named(broker: Broker, queue: str) -> None:
    names = [f"{queue}-{letter}" for letter in "abc"]
    await broker.publish([message(names[2]), *messages(names[0], 2)])

    counted = await broker.stats(names)

    assert [(stats.queue, stats.ready) for stats in counted] == [(names[0], 2), (names[1], 0), (names[2], 1)]


async def test_stats_without_a_name_answer_for_every_queue(broker: Broker, queue: str) -> None:
    await broker.publish([message(queue), message(f"{queue}-2", delay=60)])

    counted = {stats.queue: stats for stats in await broker.stats()}

    assert counted[queue].ready == 1
    assert counted[f"{queue}-2"].delayed == 1

"""Broker and Consumer: where messages wait, and how they come back out."""

from __future__ import annotations

import asyncio

import pytest

from aioqueue.protocols.broker import Broker, Consumer
from aioqueue.protocols.messages import Settlement
from tests.support.clocks import MovableClock
from tests.support.stores import lacks
from tests.support.waiting import ids, message, messages, one, passing, ready, take, under_way, within

pytestmark = pytest.mark.anyio

LEASE = 600.0


async def test_delivery_carries_the_message_as_it_was_published(
    broker: Broker, consumer: Consumer, queue: str, clock: MovableClock
) -> None:
    sent = message(queue, attempt=3, hop=2, priority=4, tracked=False, sent=12.5, name="pkg.mod:task/1@x")

    accepted = await broker.publish([sent])
    delivery = await one(consumer)

    assert list(accepted) == [True]
    assert delivery.message == sent
    assert delivery.at == pytest.approx(clock.time(), abs=1)
    assert (delivery.first_seen, delivery.losses, delivery.begun) == (None, 0, False)


@pytest.mark.parametrize(
    "body", [b"", b"\x00\xff\xfe not text", b'"' * 100_000], ids=["empty", "binary", "long"]
)
async def test_body_is_opaque(broker: Broker, consumer: Consumer, queue: str, body: bytes) -> None:
    await broker.publish([message(queue, body=body)])

    assert (await one(consumer)).message.body == body


async def test_copy_of_a_waiting_message_is_dropped(broker: Broker, consumer: Consumer, queue: str) -> None:
    deduplicates(broker)
    sent = message(queue)
    await broker.publish([sent])

    again = await broker.publish([sent])

    assert list(again) == [False]
    assert ids(await ready(consumer)) == [sent.id]


async def test_copy_of_a_delayed_message_is_dropped(broker: Broker, queue: str, clock: MovableClock) -> None:
    deduplicates(broker)
    sent = message(queue, delay=3)
    await broker.publish([sent])

    again = await broker.publish([message(queue, id=sent.id)])

    assert list(again) == [False]


async def test_copy_of_a_held_message_is_dropped(broker: Broker, consumer: Consumer, queue: str) -> None:
    deduplicates(broker)
    sent = message(queue)
    await broker.publish([sent])
    await one(consumer)

    again = await broker.publish([sent])

    assert list(again) == [False]
    assert await ready(consumer) == []


async def test_copy_within_one_batch_is_dropped(broker: Broker, consumer: Consumer, queue: str) -> None:
    deduplicates(broker)
    sent, other = messages(queue, 2)

    accepted = await broker.publish([sent, sent, other])

    assert list(accepted) == [True, False, True]
    assert ids(await ready(consumer)) == [sent.id, other.id]


async def test_same_name_in_another_queue_is_a_copy(broker: Broker, queue: str) -> None:
    deduplicates(broker)
    sent = message(queue)
    await broker.publish([sent])

    assert list(await broker.publish([message(f"{queue}-2", id=sent.id)])) == [False]


async def test_next_attempt_and_next_hop_are_no_copies(
    broker: Broker, consumer: Consumer, queue: str
) -> None:
    sent = message(queue)
    await broker.publish([sent])

    accepted = await broker.publish(
        [message(queue, id=sent.id, attempt=2), message(queue, id=sent.id, hop=1)]
    )

    assert list(accepted) == [True, True]
    assert [(d.message.attempt, d.message.hop) for d in await take(consumer, 3)] == [(1, 0), (2, 0), (1, 1)]


async def test_settled_message_may_be_published_again(broker: Broker, consumer: Consumer, queue: str) -> None:
    sent = message(queue)
    await broker.publish([sent])
    await consumer.settle([Settlement(await one(consumer))])

    accepted = await broker.publish([sent])

    assert list(accepted) == [True]
    assert ids(await take(consumer)) == [sent.id]


async def test_empty_batches_are_nothing(broker: Broker, consumer: Consumer) -> None:
    assert list(await broker.publish([])) == []
    assert list(await consumer.settle([])) == []

    await consumer.release([])


async def test_cancelled_publish_has_added_all_or_none(
    broker: Broker, consumer: Consumer, queue: str
) -> None:
    sent = messages(queue, 300)
    publishing = asyncio.create_task(broker.publish(sent))
    await asyncio.sleep(0)
    publishing.cancel()
    await asyncio.wait([publishing], timeout=10)

    # What comes after a batch that is still being written comes out after it.
    await broker.publish([message(queue, name="mark")])
    got = await ready(consumer)

    assert len(got) in {1, 301}


async def test_messages_come_in_the_order_of_their_acceptance(
    broker: Broker, consumer: Consumer, queue: str
) -> None:
    sent = messages(queue, 30)
    await broker.publish(sent[:10])
    for single in sent[10:20]:
        await broker.publish([single])
    await broker.publish(sent[20:])

    assert ids(await take(consumer, 30)) == [m.id for m in sent]


async def test_higher_priorities_come_first(broker: Broker, consumer: Consumer, queue: str) -> None:
    prioritises(broker)
    low, first, second, middle = (message(queue, priority=p) for p in (0, 9, 9, 5))

    await broker.publish([low, first, second, middle])

    assert ids(await take(consumer, 4)) == [first.id, second.id, middle.id, low.id]


async def test_priorities_hold_across_queues(broker: Broker, queue: str) -> None:
    prioritises(broker)
    low, high = message(queue), message(f"{queue}-2", priority=9)
    await broker.publish([low, high])

    async with broker.consume([queue, f"{queue}-2"], prefetch=10, lease=LEASE, worker="w") as consumer:
        got = await take(consumer, 2)

    assert ids(got) == [high.id, low.id]


async def test_delayed_message_is_not_handed_out_before_it_is_due(
    broker: Broker, consumer: Consumer, queue: str, clock: MovableClock
) -> None:
    await broker.publish([message(queue, delay=2)])

    at_once = await ready(consumer)
    await clock.advance(1)
    early = await ready(consumer)
    await clock.advance(1.1)

    assert at_once == early == []
    assert len(await take(consumer)) == 1


async def test_eta_is_a_moment_of_the_stores_clock(
    broker: Broker, consumer: Consumer, queue: str, clock: MovableClock
) -> None:
    await broker.publish([message(queue, eta=clock.time() + 2)])

    early = await ready(consumer)
    await clock.advance(2.1)

    assert early == []
    assert len(await take(consumer)) == 1


async def test_eta_in_the_past_is_now(
    broker: Broker, consumer: Consumer, queue: str, clock: MovableClock
) -> None:
    await broker.publish([message(queue, eta=clock.time() - 1_000), message(queue, eta=0.0)])

    assert len(await take(consumer, 2)) == 2


async def test_the_later_of_eta_and_delay_counts(
    broker: Broker, consumer: Consumer, queue: str, clock: MovableClock
) -> None:
    late_eta = message(queue, eta=clock.time() + 3, delay=1)
    late_delay = message(queue, eta=clock.time() + 1, delay=3)
    await broker.publish([late_eta, late_delay])

    await clock.advance(2)
    early = await ready(consumer)
    await clock.advance(1.1)

    assert early == []
    assert set(ids(await take(consumer, 2))) == {late_eta.id, late_delay.id}


async def test_waiting_receive_returns_when_a_message_falls_due(
    broker: Broker, consumer: Consumer, queue: str, clock: MovableClock
) -> None:
    await broker.publish([message(queue, delay=2)])
    start = clock.time()

    got = await passing(clock, consumer.receive(1, timeout=60))

    assert len(got) == 1
    assert 2 <= clock.time() - start < 4


async def test_earlier_due_moment_is_noticed_while_receive_waits(
    broker: Broker, consumer: Consumer, queue: str, clock: MovableClock
) -> None:
    await broker.publish([message(queue, delay=60)])
    waiting = await under_way(consumer.receive(1, timeout=120))
    sooner = message(queue, delay=1)
    await broker.publish([sooner])

    got = await passing(clock, waiting, seconds=4)

    assert ids(got) == [sooner.id]


async def test_publish_wakes_a_waiting_receive(broker: Broker, consumer: Consumer, queue: str) -> None:
    waiting = await under_way(consumer.receive(1, timeout=60))

    await broker.publish([message(queue)])

    assert len(await within(waiting)) == 1


async def test_receive_hands_out_up_to_its_limit(broker: Broker, consumer: Consumer, queue: str) -> None:
    await broker.publish(messages(queue, 5))

    got = await ready(consumer, 3)
    rest = await ready(consumer, 3)

    assert (len(got), len(rest)) == (3, 2)


async def test_consumer_holds_no_more_than_its_prefetch(broker: Broker, queue: str) -> None:
    await broker.publish(messages(queue, 5))

    async with broker.consume([queue], prefetch=2, lease=LEASE, worker="w") as consumer:
        held = await ready(consumer, 10)
        more = await ready(consumer, 10)
        await consumer.settle([Settlement(held[0])])
        after = await ready(consumer, 10)

    assert (len(held), len(more), len(after)) == (2, 0, 1)


async def test_receive_ends_empty_after_its_timeout(consumer: Consumer, clock: MovableClock) -> None:
    start = clock.time()

    got = await passing(clock, consumer.receive(1, timeout=2))

    assert got == []
    assert 2 <= clock.time() - start < 4


async def test_wake_ends_a_waiting_receive(consumer: Consumer) -> None:
    waiting = await under_way(consumer.receive(1, timeout=60))

    consumer.wake()

    assert await within(waiting) == []


async def test_wake_before_receive_ends_the_next_one_only(consumer: Consumer) -> None:
    consumer.wake()

    first = await within(consumer.receive(1, timeout=60))
    second = await under_way(consumer.receive(1, timeout=60))
    consumer.wake()

    assert first == []
    assert await within(second) == []


async def test_wake_does_not_hide_what_is_ready(broker: Broker, consumer: Consumer, queue: str) -> None:
    await broker.publish([message(queue)])
    consumer.wake()

    assert len(await take(consumer)) == 1


async def test_consumer_takes_from_all_its_queues_and_no_other(broker: Broker, queue: str) -> None:
    names = [f"{queue}-{letter}" for letter in "abc"]
    await broker.publish([message(name) for name in names])

    async with broker.consume(names[:2], prefetch=10, lease=LEASE, worker="w") as consumer:
        got = await take(consumer, 2)
        rest = await ready(consumer)

    assert {delivery.message.queue for delivery in got} == set(names[:2])
    assert rest == []


@pytest.mark.parametrize("count", [101, 260, 1_000])
async def test_consumer_takes_from_very_many_queues(broker: Broker, queue: str, count: int) -> None:
    queues = [f"{queue}.{number}" for number in range(count)]
    sent = [message(queues[-1]), message(queues[count // 2]), message(queues[0]), message(queues[-1])]
    urgent = message(queues[1], priority=9)
    await broker.publish([*sent, urgent])

    async with broker.consume(queues, prefetch=9, lease=600, worker="w") as consumer:
        got = await take(consumer, 5)

    assert ids(got)[0] == urgent.id
    assert sorted(ids(got)[1:]) == sorted(m.id for m in sent)
    assert [id for id in ids(got) if id in {sent[0].id, sent[3].id}] == [sent[0].id, sent[3].id]


async def test_message_goes_to_one_consumer(
    broker: Broker, consumer: Consumer, rival: Consumer, queue: str
) -> None:
    sent = messages(queue, 100)
    await broker.publish(sent)

    mine, theirs = await asyncio.gather(ready(consumer, 60), ready(rival, 60))

    assert sorted(ids(mine) + ids(theirs)) == sorted(m.id for m in sent)


async def test_consumers_have_names_of_their_own(broker: Broker, queue: str) -> None:
    names = []
    for _ in range(3):
        async with broker.consume([queue], prefetch=1, lease=LEASE, worker="w") as consumer:
            names.append(consumer.id)

    assert len(set(names)) == 3


def deduplicates(broker: Broker) -> None:
    if not broker.capabilities.deduplicates:
        lacks("drops no copies")


def prioritises(broker: Broker) -> None:
    if not broker.capabilities.priorities:
        lacks("has no priorities")

"""Turns: which of several queues, and which priority in it, has the next slot."""

from __future__ import annotations

from collections import Counter

import pytest

from aioqueue.ids import new_id
from aioqueue.protocols.broker import Broker, Consumer, Order
from aioqueue.protocols.messages import Delivery, Message, Settlement
from tests.support.stores import lacks
from tests.support.waiting import ids, message, messages, ready, take

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

LEASE = 600.0


async def test_high_one_is_next_though_ten_thousand_low_ones_wait(
    broker: Broker, consumer: Consumer, queue: str
) -> None:
    prioritises(broker)
    for _ in range(10):
        await broker.publish(messages(queue, 1_000))
    # wherever the guard stands
    for count in range(1, 30):
        await end(consumer, await ready(consumer, count))
        high = message(queue, priority=5)
        await broker.publish([high])

        (got,) = await ready(consumer, 1)

        assert got.message.id == high.id
        await end(consumer, [got])


@pytest.mark.parametrize("high", [9, 4])
async def test_low_ones_get_their_share_under_an_endless_load_of_high_ones(
    broker: Broker, consumer: Consumer, queue: str, high: int
) -> None:
    prioritises(broker)
    taken, number = Counter[int](), 0
    await broker.publish(load(queue, high, 1_100))
    while taken.total() < 10_000:
        # 11 and not 12, nor as many as are sent
        for limit in (1, 7, 50, 128):
            got = await ready(consumer, limit)
            assert len(got) == limit
            taken.update(delivery.message.priority for delivery in got)
            await end(consumer, got)
            number += limit
        if number > 800:
            await broker.publish(load(queue, high, number // 11 * 11))
            number %= 11

    assert 0.05 <= taken[0] / taken.total() <= 0.12


async def test_no_priority_starves(broker: Broker, consumer: Consumer, queue: str) -> None:
    prioritises(broker)
    await broker.publish([message(queue, priority=n // 60) for n in range(600)])

    taken = Counter[int]()
    for _ in range(12):
        got = await ready(consumer, 36)
        taken.update(delivery.message.priority for delivery in got)
        await end(consumer, got)

    assert all(taken[priority] for priority in range(10))


async def test_lower_priorities_share_the_slots_of_the_guard(
    broker: Broker, consumer: Consumer, queue: str
) -> None:
    prioritises(broker)
    await broker.publish([message(queue, priority=p) for p in (7, 3, 0) for _ in range(240)])

    got = await ready(consumer, 240)

    assert Counter(d.message.priority for d in got) == {7: 220, 3: 10, 0: 10}


async def test_order_within_a_priority_is_that_of_acceptance(
    broker: Broker, consumer: Consumer, queue: str
) -> None:
    prioritises(broker)
    sent = [message(queue, priority=5 * (n % 2)) for n in range(100)]
    await broker.publish(sent)

    got = [*await ready(consumer, 30), *await ready(consumer, 70)]

    for priority in (0, 5):
        assert [d.message.id for d in got if d.message.priority == priority] == [
            m.id for m in sent if m.priority == priority
        ]


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_weighted_queues_share_as_their_weights_say(broker: Broker, queue: str, limit: int) -> None:
    names, weights = [f"{queue}-{letter}" for letter in "abc"], (5, 3, 2)
    for name in names:
        await broker.publish(messages(name, 400))

    async with broker.consume(
        names, prefetch=1_000, lease=LEASE, worker="w", order=Order(weights)
    ) as consumer:
        got = await taken(consumer, 300, limit)

    shares = Counter(delivery.message.queue for delivery in got)
    assert [shares[name] for name in names] == [150, 90, 60]


async def test_weighted_turns_are_smooth(broker: Broker, queue: str) -> None:
    names = [f"{queue}-a", f"{queue}-b"]
    for name in names:
        await broker.publish(messages(name, 20))

    async with broker.consume(names, prefetch=100, lease=LEASE, worker="w", order=Order((2, 1))) as consumer:
        got = await taken(consumer, 9, 1)

    assert "".join(d.message.queue[-1] for d in got) == "abaabaaba"


async def test_queue_without_work_leaves_its_share_to_the_others(broker: Broker, queue: str) -> None:
    names = [f"{queue}-{letter}" for letter in "abc"]
    await broker.publish([*messages(names[1], 120), *messages(names[2], 120)])

    async with broker.consume(
        names, prefetch=1_000, lease=LEASE, worker="w", order=Order((8, 1, 1))
    ) as consumer:
        (first,) = [await ready(consumer, 100)]
        await broker.publish(messages(names[0], 120))
        second = await ready(consumer, 100)
        rest = await taken(consumer, 160, 50)

    assert shares(first, names) == [0, 50, 50]
    assert shares(second, names) == [80, 10, 10]
    assert shares([*first, *second, *rest], names) == [120, 120, 120]


async def test_priorities_hold_within_each_weighted_queue(broker: Broker, queue: str) -> None:
    prioritises(broker)
    names = [f"{queue}-a", f"{queue}-b"]
    for name in names:
        await broker.publish([message(name), message(name, priority=9)])

    async with broker.consume(names, prefetch=10, lease=LEASE, worker="w", order=Order((1, 1))) as consumer:
        got = await taken(consumer, 4, 1)

    assert [(d.message.queue[-1], d.message.priority) for d in got] == [
        ("a", 9),
        ("b", 9),
        ("a", 0),
        ("b", 0),
    ]


async def test_strict_order_takes_from_the_first_queue_first(broker: Broker, queue: str) -> None:
    names = [f"{queue}-{letter}" for letter in "cab"]
    await broker.publish([message(names[2], priority=9), *messages(names[1], 3), *messages(names[0], 3)])

    async with broker.consume(
        names, prefetch=100, lease=LEASE, worker="w", order=Order(strict=True)
    ) as consumer:
        got = await taken(consumer, 4, 2)
        await broker.publish([message(names[0])])
        got += await taken(consumer, 4, 2)

    assert [names.index(d.message.queue) for d in got] == [0, 0, 0, 1, 0, 1, 1, 2]


@pytest.mark.parametrize("order", [Order(), Order((3, 1)), Order(strict=True)])
async def test_no_more_is_handed_out_than_there_are_slots(broker: Broker, queue: str, order: Order) -> None:
    names = [f"{queue}-a", f"{queue}-b"]
    for name in names:
        await broker.publish([message(name, priority=n % 3) for n in range(30)])

    async with broker.consume(names, prefetch=7, lease=LEASE, worker="w", order=order) as consumer:
        got = await ready(consumer, 5)
        more = await ready(consumer, 5)

    assert (len(got), len(more)) == (5, 2)


@pytest.mark.parametrize("order", [Order((9, 1)), Order(strict=True)])
async def test_paused_queue_takes_no_turn(broker: Broker, queue: str, order: Order) -> None:
    names = [f"{queue}-a", f"{queue}-b"]
    for name in names:
        await broker.publish(messages(name, 5))
    await broker.pause(names[0])

    async with broker.consume(names, prefetch=100, lease=LEASE, worker="w", order=order) as consumer:
        got = await ready(consumer)
        await broker.resume(names[0])
        more = await take(consumer, 5)

    assert shares(got, names) == [0, 5]
    assert shares(more, names) == [5, 0]


async def test_queue_that_is_named_twice_counts_once(broker: Broker, queue: str) -> None:
    sent = messages(queue, 3)
    await broker.publish(sent)

    async with broker.consume([queue, queue], prefetch=10, lease=LEASE, worker="w") as consumer:
        assert ids(await ready(consumer)) == [m.id for m in sent]


def load(queue: str, high: int, count: int) -> list[Message]:
    """Return messages of which one in eleven is low."""
    return [message(queue, id=new_id(), priority=0 if n % 11 == 0 else high) for n in range(count)]


async def taken(consumer: Consumer, count: int, limit: int) -> list[Delivery]:
    """Return *count* deliveries that are there, taken *limit* at a time."""
    got: list[Delivery] = []
    while len(got) < count:
        batch = await ready(consumer, min(limit, count - len(got)))
        assert batch
        got += batch
    return got


async def end(consumer: Consumer, deliveries: list[Delivery]) -> None:
    await consumer.settle([Settlement(delivery) for delivery in deliveries])


def shares(deliveries: list[Delivery], queues: list[str]) -> list[int]:
    counts = Counter(delivery.message.queue for delivery in deliveries)
    return [counts[queue] for queue in queues]


def prioritises(broker: Broker) -> None:
    if not broker.capabilities.priorities:
        lacks("has no priorities")

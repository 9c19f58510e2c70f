"""Upkeep: what ``maintain`` drops, so that no store grows for ever."""

from __future__ import annotations

import pytest

from aioqueue.models.state import State
from aioqueue.models.stats import QueueStats
from aioqueue.protocols.broker import Broker, Consumer
from aioqueue.protocols.messages import OPEN_TTL, Settlement
from tests.support.clocks import MovableClock
from tests.support.counting import buried, counts
from tests.support.onestep import Hand, OneStep
from tests.support.waiting import ids, message, messages, one, ready, take

pytestmark = pytest.mark.anyio

DAY = 86_400.0
MAX_DEAD = 10_000


async def test_round_with_nothing_to_do_hands_nothing_on(broker: Broker) -> None:
    assert await broker.maintain() == 0


async def test_upkeep_leaves_what_waits(
    broker: Broker, consumer: Consumer, queue: str, clock: MovableClock
) -> None:
    sent = [message(queue), message(queue, delay=3)]
    await broker.publish(sent)
    await clock.advance(1)

    await broker.maintain()
    await clock.advance(2.1)

    assert ids(await ready(consumer)) == [m.id for m in sent]


async def test_messages_are_never_dropped_for_their_age(
    broker: Broker, queue: str, clock: MovableClock
) -> None:
    sent = message(queue)
    await broker.publish([sent])
    await clock.advance(10 * OPEN_TTL)

    await broker.maintain()

    assert await counts(broker, queue) == QueueStats(queue=queue, ready=1)


async def test_dead_letters_are_kept_for_half_a_year(broker: Broker, queue: str, clock: MovableClock) -> None:
    async with broker.consume([queue], prefetch=2, lease=1_000 * DAY, worker="w") as consumer:
        await broker.publish(messages(queue, 2))
        first, second = await take(consumer, 2)
        await consumer.settle([Settlement(first, dead="old")])
        await clock.advance(100 * DAY)
        await consumer.settle([Settlement(second, dead="new")])
        await broker.maintain()
        before = [letter.reason for letter in await buried(broker, queue)]
        await clock.advance(81 * DAY)
        await broker.maintain()
        after = [letter.reason for letter in await buried(broker, queue)]

    assert (before, after) == (["new", "old"], ["new"])
    assert (await counts(broker, queue)).dead == 1


async def test_only_the_newest_dead_letters_are_kept(broker: Broker, queue: str) -> None:
    count = MAX_DEAD + 50
    async with broker.consume([queue], prefetch=count, lease=600, worker="w") as consumer:
        await broker.publish(messages(queue, count))
        deliveries = await take(consumer, count)
        await consumer.settle([Settlement(d, dead=f"reason {n}") for n, d in enumerate(deliveries)])
    await broker.maintain()

    letters = await broker.dead_letters(limit=2 * MAX_DEAD)

    assert len(letters) == MAX_DEAD
    assert letters[0].reason == f"reason {count - 1}"
    assert (await counts(broker, queue)).dead == MAX_DEAD


async def test_upkeep_keeps_records_that_are_shown(
    shop: OneStep, hand: Hand, broker: Broker, queue: str, clock: MovableClock
) -> None:
    ended, running = messages(queue, 2)
    await shop.submit(ended, running)
    delivery, held = await take(hand.consumer, 2)
    await hand.end(delivery, value=b"1", ttl=3)
    await clock.advance(1)

    await broker.maintain()

    assert (await shop.record(ended.id)).value == b"1"
    assert (await shop.record(running.id)).state is State.STARTED
    assert await hand.end(held)


async def test_record_is_kept_while_its_task_is_retried(
    shop: OneStep, broker: Broker, queue: str, clock: MovableClock
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    async with shop.hand(queue, lease=1_000 * DAY) as hand:
        for attempt in (2, 3):
            await clock.advance(OPEN_TTL - DAY)
            retry = message(queue, id=sent.id, attempt=attempt)
            await hand.end(await one(hand.consumer), State.RETRY, follow=(retry,), next_at=clock.time())
        await clock.advance(OPEN_TTL - DAY)
        await broker.maintain()

        assert (await shop.record(sent.id)).state is State.RETRY

"""One-step begin: what receive hands out has its start on record already."""

from __future__ import annotations

import pytest

from aioqueue.models.state import State
from aioqueue.models.stats import QueueStats
from aioqueue.protocols.broker import Broker, Consumer
from aioqueue.protocols.messages import OPEN_TTL, Start, Verdict
from tests.support.clocks import MovableClock
from tests.support.counting import counts
from tests.support.onestep import Hand, OneStep
from tests.support.waiting import ids, message, messages, one, passing, ready, take

pytestmark = pytest.mark.anyio

LEASE = 2.0


async def test_receive_writes_who_runs_the_task(
    shop: OneStep, hand: Hand, queue: str, clock: MovableClock
) -> None:
    sent = message(queue, sent=12.5)
    await shop.submit(sent)
    await clock.advance(1)

    delivery = await hand.one()
    record = await shop.record(sent.id)

    assert delivery.begun
    assert (record.state, record.attempt, record.worker, record.sent) == (State.STARTED, 1, "worker-1", 12.5)
    assert record.started == pytest.approx(clock.time(), abs=0.5)


async def test_begin_lets_run_what_was_received(shop: OneStep, hand: Hand, queue: str) -> None:
    await shop.submit(*messages(queue, 3))

    starts = await hand.finisher.begin(await take(hand.consumer, 3))

    assert list(starts) == [Start(Verdict.RUN)] * 3


async def test_consumer_without_a_finisher_begins_nothing(
    shop: OneStep, consumer: Consumer, queue: str
) -> None:
    sent = message(queue)
    await shop.submit(sent)

    delivery = await one(consumer)

    assert not delivery.begun
    assert (await shop.record(sent.id)).state is State.PENDING


async def test_message_of_an_ended_task_is_not_handed_out(
    shop: OneStep, hand: Hand, broker: Broker, queue: str
) -> None:
    sent, other = messages(queue, 2)
    await shop.submit(sent)
    await hand.end(await hand.one(), value=b"1")
    await broker.publish([sent, message(queue, id=sent.id, attempt=2), other])

    got = await ready(hand.consumer)

    assert ids(got) == [other.id]
    assert await counts(broker, queue) == QueueStats(queue=queue, held=1)
    assert (await shop.record(sent.id)).value == b"1"


async def test_dropped_messages_do_not_end_a_wait(
    shop: OneStep, hand: Hand, broker: Broker, queue: str, clock: MovableClock
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    await hand.end(await hand.one())
    await broker.publish([sent])
    start = clock.time()

    got = await passing(clock, hand.consumer.receive(1, timeout=2))

    assert got == []
    assert clock.time() - start >= 2
    assert await counts(broker, queue) == QueueStats(queue=queue)


async def test_message_of_an_earlier_attempt_is_not_handed_out(
    shop: OneStep, hand: Hand, broker: Broker, queue: str
) -> None:
    second = message(queue, attempt=2)
    await broker.publish([second])
    await hand.one()
    await broker.publish([message(queue, id=second.id, attempt=1)])

    assert await ready(hand.consumer) == []
    assert (await shop.record(second.id)).attempt == 2


async def test_task_whose_record_is_gone_is_run(
    shop: OneStep, hand: Hand, broker: Broker, queue: str
) -> None:
    sent = message(queue, sent=12.5)
    await broker.publish([sent])

    delivery = await hand.one()
    record = await shop.record(sent.id)

    assert delivery.begun
    assert (record.name, record.queue, record.state, record.sent) == ("add", queue, State.STARTED, 12.5)
    assert await hand.end(delivery, value=b"1")


async def test_untracked_task_is_begun_without_a_record(shop: OneStep, hand: Hand, queue: str) -> None:
    sent = message(queue, tracked=False)
    await shop.submit(sent)

    delivery = await hand.one()

    assert list(await hand.finisher.begin([delivery])) == [Start(Verdict.RUN)]
    assert await shop.gone(sent.id)


async def test_released_task_reads_as_if_it_had_not_begun(
    shop: OneStep, hand: Hand, broker: Broker, queue: str
) -> None:
    first, second = message(queue), message(queue, attempt=2)
    await shop.submit(first)
    await broker.publish([second])

    await hand.finisher.release(await take(hand.consumer, 2))
    records = [await shop.record(m.id) for m in (first, second)]

    assert [record.state for record in records] == [State.PENDING, State.RETRY]
    assert [(record.losses, record.attempt) for record in records] == [(0, 1), (0, 2)]
    assert await counts(broker, queue) == QueueStats(queue=queue, ready=2)


async def test_released_task_is_begun_again(shop: OneStep, hand: Hand, broker: Broker, queue: str) -> None:
    first, second = message(queue), message(queue, attempt=2)
    await shop.submit(first)
    await broker.publish([second])
    await hand.finisher.release(await take(hand.consumer, 2))

    async with shop.hand(queue, worker="heir") as heir:
        again = await take(heir.consumer, 2)
        records = [await shop.record(m.id) for m in (first, second)]
        ended = [await heir.end(delivery) for delivery in again]

    assert [(d.message, d.losses, d.begun) for d in again] == [(first, 0, True), (second, 0, True)]
    assert [(record.state, record.worker) for record in records] == [(State.STARTED, "heir")] * 2
    assert ended == [True, True]


async def test_release_with_a_delay_holds_the_task_back(
    shop: OneStep, hand: Hand, queue: str, clock: MovableClock
) -> None:
    await shop.submit(message(queue))
    moment = clock.time()

    await hand.finisher.release([await hand.one()], delay=2)
    early = await ready(hand.consumer)
    await clock.advance(2.1)
    delivery = await hand.one()

    assert early == []
    assert delivery.first_seen == pytest.approx(moment, abs=0.5)


async def test_release_of_what_another_holds_is_ignored(shop: OneStep, hand: Hand, queue: str) -> None:
    sent = message(queue)
    await shop.submit(sent)
    delivery = await hand.one()

    async with shop.hand(queue) as heir:
        await heir.finisher.release([delivery])

        assert await ready(heir.consumer) == []
    assert (await shop.record(sent.id)).state is State.STARTED


async def test_leaving_makes_records_read_as_if_nothing_had_begun(
    shop: OneStep, broker: Broker, queue: str
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    async with shop.hand(queue) as mortal:
        await mortal.one()

    record = await shop.record(sent.id)

    assert (record.state, record.losses) == (State.PENDING, 0)
    assert await counts(broker, queue) == QueueStats(queue=queue, ready=1)


async def test_death_is_counted_on_record_and_in_the_delivery(
    shop: OneStep, hand: Hand, broker: Broker, queue: str, clock: MovableClock
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    async with shop.hand(f"{queue}-2", queue, lease=LEASE) as mortal:
        await mortal.one()
        await clock.advance(LEASE * 1.1)

        moved = await broker.maintain()
        waiting = await shop.record(sent.id)
        delivery = await hand.one()
        running = await shop.record(sent.id)

    assert moved == 1
    assert (waiting.state, waiting.attempt, waiting.losses) == (State.PENDING, 1, 1)
    assert (running.state, running.worker, running.losses) == (State.STARTED, "worker-1", 1)
    assert delivery.losses == 1
    assert list(await hand.finisher.begin([delivery])) == [Start(Verdict.RUN, losses=1)]


async def test_living_workers_records_are_not_touched_by_upkeep(
    shop: OneStep, hand: Hand, broker: Broker, queue: str, clock: MovableClock
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    delivery = await hand.one()
    await clock.advance(1)

    await broker.maintain()

    assert (await shop.record(sent.id)).state is State.STARTED
    assert await hand.end(delivery)


async def test_record_that_expired_while_its_task_waited_is_made_again(
    shop: OneStep, queue: str, clock: MovableClock
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    await clock.advance(OPEN_TTL + 60)

    async with shop.hand(queue) as hand:
        delivery = await hand.one()

        assert (await shop.record(sent.id)).state is State.STARTED
        assert await hand.end(delivery)

"""Limits: a store tells which tasks may start now; the others get a turn each, or a slot when one is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest

from aioqueue import Router
from aioqueue.ids import new_id
from aioqueue.models.rate import Rate
from aioqueue.models.state import RescheduleOutcome, State
from aioqueue.models.stats import Where
from aioqueue.protocols.broker import Broker, Consumer
from aioqueue.protocols.limits import PARKED, Limits
from aioqueue.protocols.messages import Delivery, Message, Record, Settlement, Verdict, When
from aioqueue.protocols.unique import Held, Unique
from aioqueue.worker.gate import Gate
from aioqueue.worker.two_step import TwoStepFinisher
from tests.support.clocks import MovableClock
from tests.support.onestep import Hand, OneStep, ending
from tests.support.stores import Pair
from tests.support.waiting import ids, message, messages, one, passing, ready, take

pytestmark = pytest.mark.anyio

LEASE = 600.0
DAY = 86_400.0
SECOND = Limits("paced", (Rate(1, 1.0),))
"""One start a second."""
TWO = Limits("slots", running=2)


async def admitted(consumer: Consumer, limits: Limits, deliveries: list[Delivery]) -> list[Delivery]:
    """Return those of *deliveries* that may start."""
    answers = await consumer.admit([(delivery, limits) for delivery in deliveries])
    return [delivery for delivery, ok in zip(deliveries, answers, strict=True) if ok]


async def settle(consumer: Consumer, *deliveries: Delivery) -> None:
    """End *deliveries*."""
    assert all(await consumer.settle([Settlement(delivery) for delivery in deliveries]))


@pytest.fixture
async def sent(broker: Broker, queue: str) -> list[Message]:
    """Five messages that wait."""
    five = messages(queue, 5)
    await broker.publish(five)
    return five


async def test_one_starts_and_the_others_wait_for_their_turns(
    broker: Broker, consumer: Consumer, queue: str, sent: list[Message]
) -> None:
    started = await admitted(consumer, SECOND, await take(consumer, 5))

    assert ids(started) == [sent[0].id]
    assert await ready(consumer) == []
    assert [(s.delayed, s.held) for s in await broker.stats([queue])] == [(4, 1)]


async def test_each_starts_at_its_turn_in_order(
    consumer: Consumer, sent: list[Message], clock: MovableClock
) -> None:
    limits = Limits("fast", (Rate(5, 1.0),))
    began = clock.time()
    started = await admitted(consumer, limits, await take(consumer, 5))
    moments: list[float] = []
    while len(started) < 5:
        (next_one,) = await passing(clock, consumer.receive(10, timeout=5), step=0.05)
        moments.append(next_one.at - began)
        started += await admitted(consumer, limits, [next_one])

    assert ids(started) == [m.id for m in sent]
    assert all(moment >= 0.19 * n for n, moment in enumerate(moments, 1))


async def test_what_is_put_off_counts_nothing(
    shop: OneStep, hand: Hand, queue: str, clock: MovableClock
) -> None:
    first, second = messages(queue, 2)
    await shop.submit(first, second)
    limits = Limits("fast", (Rate(5, 1.0),))
    await admitted(hand.consumer, limits, await take(hand.consumer, 2))
    waiting = await shop.record(second.id)

    (again,) = await passing(clock, hand.consumer.receive(1, timeout=5), step=0.1)

    assert (waiting.state, waiting.started, waiting.worker) == (State.PENDING, None, None)
    assert (again.message.attempt, again.losses, again.first_seen) == (1, 0, None)
    assert await hand.consumer.admit([(again, limits)]) == [True]
    assert await hand.end(again)
    assert (await shop.record(second.id)).state is State.SUCCESS


async def test_turns_of_several_rates_are_taken_together(
    consumer: Consumer, sent: list[Message], clock: MovableClock
) -> None:
    limits = Limits("both", (Rate(100, 1.0), Rate(2, 600.0, burst=1)))
    started = await admitted(consumer, limits, await take(consumer, 5))
    started += await admitted(consumer, limits, await passing(clock, consumer.receive(9, timeout=1)))
    await clock.advance(0.5)

    assert len(started) == 2
    assert await ready(consumer) == []


async def test_burst_starts_at_once_after_a_time_with_none(consumer: Consumer, sent: list[Message]) -> None:
    limits = Limits("burst", (Rate(1, 60.0, burst=3),))

    assert len(await admitted(consumer, limits, await take(consumer, 5))) == 4


async def test_turn_that_is_missed_is_lost(
    consumer: Consumer, sent: list[Message], clock: MovableClock
) -> None:
    limits = Limits("fast", (Rate(20, 1.0),))
    await admitted(consumer, limits, await take(consumer, 5))
    await clock.advance(1.5)

    late = await admitted(consumer, limits, await take(consumer, 4))

    assert len(late) == 1


async def test_what_comes_late_keeps_its_turn(
    consumer: Consumer, sent: list[Message], clock: MovableClock
) -> None:
    limits = Limits("fast", (Rate(20, 1.0),))
    await admitted(consumer, limits, await take(consumer, 5))
    await clock.advance(0.4)

    assert len(await admitted(consumer, limits, await take(consumer, 4))) == 4


async def test_no_more_have_slots_than_there_are(
    broker: Broker, consumer: Consumer, rival: Consumer, queue: str, sent: list[Message]
) -> None:
    mine, others = await take(consumer, 3), await take(rival, 2)

    started = [*await admitted(consumer, TWO, mine), *await admitted(rival, TWO, others)]

    assert ids(started) == [m.id for m in sent[:2]]
    assert await ready(consumer) == []
    assert [(s.delayed, s.held) for s in await broker.stats([queue])] == [(3, 2)]


async def test_who_ends_wakes_who_waits(consumer: Consumer, rival: Consumer, sent: list[Message]) -> None:
    started = await admitted(consumer, TWO, await take(consumer, 5))
    await settle(consumer, started[0])

    woken = await admitted(rival, TWO, await ready(rival))

    assert ids(woken) == [sent[2].id]
    assert await ready(rival) == []


async def test_who_is_woken_wakes_a_receive_that_waits(
    consumer: Consumer, rival: Consumer, sent: list[Message], clock: MovableClock
) -> None:
    started = await admitted(consumer, TWO, await take(consumer, 5))
    await settle(consumer, *started)

    assert ids(await take(rival, 2)) == [m.id for m in sent[2:4]]


async def test_given_back_is_a_slot_free(consumer: Consumer, rival: Consumer, sent: list[Message]) -> None:
    started = await admitted(consumer, TWO, await take(consumer, 5))
    await consumer.release(started[:1], delay=60)

    assert ids(await admitted(rival, TWO, await ready(rival))) == [sent[2].id]


@pytest.mark.parametrize("state", [State.SUCCESS, State.RETRY, State.FAILURE])
async def test_every_end_of_an_attempt_frees_its_slot(
    shop: OneStep, hand: Hand, queue: str, state: State
) -> None:
    limits = Limits("one", running=1)
    first, second = messages(queue, 2)
    await shop.submit(first, second)
    (started,) = await admitted(hand.consumer, limits, await take(hand.consumer, 2))
    again = (message(queue, id=first.id, attempt=2, delay=60),)
    await hand.finisher.finish([ending(started, state, follow=again if state is State.RETRY else ())])

    assert ids(await admitted(hand.consumer, limits, await ready(hand.consumer))) == [second.id]


async def test_slot_of_who_is_buried_is_free(broker: Broker, queue: str, sent: list[Message]) -> None:
    async with (
        broker.consume([queue], prefetch=10, lease=LEASE, worker="w") as dead,
        broker.consume([queue], prefetch=10, lease=LEASE, worker="w") as heir,
    ):
        await admitted(dead, TWO, await take(dead, 5))
        await broker.bury(dead.id)

        woken = await ready(heir)

        assert len(await admitted(heir, TWO, woken)) == 2


async def test_slot_of_a_lapsed_lease_is_free_after_a_round(
    broker: Broker, queue: str, sent: list[Message], clock: MovableClock
) -> None:
    async with broker.consume([queue], prefetch=10, lease=LEASE, worker="w") as heir:
        async with broker.consume([queue], prefetch=10, lease=1.0, worker="w") as dead:
            started = await admitted(dead, TWO, await take(dead, 5))
            assert await admitted(heir, TWO, await ready(heir)) == []
            await broker.maintain()
            while await broker.maintain() == 0:
                await clock.advance(0.5)

            woken = await admitted(heir, TWO, await ready(heir))

        assert len(woken) == 2
        assert all(delivery.losses <= 1 for delivery in woken)
        assert len(started) == 2


async def test_who_dies_does_not_leave_its_slot_to_more_than_one(
    broker: Broker, consumer: Consumer, rival: Consumer, sent: list[Message]
) -> None:
    started = await admitted(consumer, TWO, await take(consumer, 5))
    await settle(consumer, started[0])
    woken = await take(rival)
    for _ in range(3):
        await broker.maintain()

    more = await admitted(rival, TWO, [*woken, *await ready(rival)])

    assert len(more) == 1


async def test_parked_one_that_was_removed_holds_up_nobody(shop: OneStep, hand: Hand, queue: str) -> None:
    limits = Limits("one", running=1)
    first, second, third = messages(queue, 3)
    await shop.submit(first, second, third)
    (started,) = await admitted(hand.consumer, limits, await take(hand.consumer, 3))
    await shop.submitter.cancel([second.id], ttl=60)
    await hand.end(started)

    assert ids(await ready(hand.consumer)) == [third.id]
    assert (await shop.record(second.id)).state is State.CANCELLED


async def test_woken_one_that_is_cancelled_holds_up_nobody(shop: OneStep, hand: Hand, queue: str) -> None:
    limits = Limits("one", running=1)
    first, second, third = messages(queue, 3)
    await shop.submit(first, second, third)
    (started,) = await admitted(hand.consumer, limits, await take(hand.consumer, 3))
    await hand.end(started)
    await shop.submitter.cancel([second.id], ttl=60)
    assert await ready(hand.consumer) == []
    await shop.broker.maintain()

    assert ids(await ready(hand.consumer)) == [third.id]


async def test_parked_one_that_was_given_a_moment_waits_for_that(
    broker: Broker, consumer: Consumer, queue: str, sent: list[Message]
) -> None:
    started = await admitted(consumer, TWO, await take(consumer, 5))
    assert await broker.reschedule(queue, sent[2].id, 1, When(delay=600))
    await settle(consumer, *started)

    assert ids(await ready(consumer)) == [m.id for m in sent[3:]]


async def test_scopes_are_counted_apart(consumer: Consumer, sent: list[Message]) -> None:
    deliveries = await take(consumer, 5)

    answers = await consumer.admit(
        [(delivery, Limits(f"s {n % 3}", running=1)) for n, delivery in enumerate(deliveries)]
    )

    assert list(answers) == [True, True, True, False, False]


async def test_others_in_the_queue_are_not_held_up(
    broker: Broker, consumer: Consumer, queue: str, sent: list[Message]
) -> None:
    await admitted(consumer, TWO, await take(consumer, 5))
    other = message(queue)
    await broker.publish([other])

    assert ids(await ready(consumer)) == [other.id]


async def test_to_ask_again_is_safe(consumer: Consumer, sent: list[Message]) -> None:
    deliveries = await take(consumer, 5)
    answers = [list(await consumer.admit([(delivery, TWO) for delivery in deliveries])) for _ in range(2)]

    assert answers == [[True, True, False, False, False]] * 2


async def test_what_is_not_held_is_not_admitted(
    consumer: Consumer, rival: Consumer, sent: list[Message]
) -> None:
    delivery = await one(consumer)
    await settle(consumer, delivery)

    assert list(await consumer.admit([(delivery, TWO)])) == [False]
    assert len(await admitted(rival, TWO, await take(rival, 2))) == 2


async def test_rate_and_slots_hold_together(
    consumer: Consumer, sent: list[Message], clock: MovableClock
) -> None:
    limits = Limits("all", (Rate(5, 1.0),), running=1)
    started: list[Delivery] = []
    held: list[Delivery] = await take(consumer, 5)
    while len(started) < 5:
        fresh = await admitted(consumer, limits, held)
        assert len(fresh) <= 1
        started += fresh
        await settle(consumer, *fresh)
        if len(started) < 5:
            held = await passing(clock, consumer.receive(10, timeout=5), step=0.1)

    assert sorted(ids(started)) == sorted(m.id for m in sent)


@pytest.fixture
async def workers(broker: Broker, queue: str) -> AsyncIterator[list[Consumer]]:
    """Three consumers."""
    async with (
        broker.consume([queue], prefetch=5, lease=LEASE, worker="a") as first,
        broker.consume([queue], prefetch=5, lease=LEASE, worker="b") as second,
        broker.consume([queue], prefetch=5, lease=LEASE, worker="c") as third,
    ):
        yield [first, second, third]


async def test_never_more_than_the_slots_and_never_stuck(
    broker: Broker, workers: list[Consumer], queue: str
) -> None:
    chance, limits = Random(7), Limits("model", running=4)
    todo = {m.id for m in messages(queue, 60)}
    await broker.publish([message(queue, id=id) for id in todo])
    held: dict[str, list[Delivery]] = {consumer.id: [] for consumer in workers}
    for _ in range(2_000):
        consumer = chance.choice(workers)
        mine = held[consumer.id]
        match chance.randrange(4):
            case 0 | 1:
                mine += await admitted(consumer, limits, await ready(consumer, 3))
            case 2 if mine:
                ended = mine.pop(chance.randrange(len(mine)))
                await settle(consumer, ended)
                todo.discard(ended.message.id)
            case 3 if mine:
                await consumer.release([mine.pop()])
            case _:
                pass
        assert sum(map(len, held.values())) <= 4
        if not todo:
            break

    assert not todo


@pytest.fixture
async def gated(shop: OneStep, queue: str) -> AsyncIterator[Hand]:
    """A consumer of the queue whose tasks begin when they are admitted."""
    async with shop.hand(queue, lease=LEASE, limited={"add"}) as hand:
        yield hand


async def test_limited_task_begins_when_it_is_admitted(shop: OneStep, gated: Hand, queue: str) -> None:
    first, second = messages(queue, 2)
    await shop.submit(first, second)
    deliveries = await take(gated.consumer, 2)
    handed_out = [(await shop.record(m.id)).state for m in (first, second)]

    (started,) = await admitted(gated.consumer, Limits("one", running=1), deliveries)
    records = [await shop.record(m.id) for m in (first, second)]

    assert handed_out == [State.PENDING, State.PENDING]
    assert [(r.state, r.worker) for r in records] == [(State.STARTED, "w"), (State.PENDING, None)]
    assert not any(delivery.begun for delivery in deliveries)
    assert await gated.end(started)
    assert (await shop.record(first.id)).state is State.SUCCESS


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("limits", [SECOND, Limits("one", running=1)])
async def test_cancelled_before_it_is_admitted_never_comes_again(
    shop: OneStep, hand: Hand, gated: Hand, queue: str, limits: Limits, begun: bool
) -> None:
    taker = hand if begun else gated
    sent = messages(queue, 3)
    await shop.submit(*sent)
    deliveries = await take(taker.consumer, 3)
    await shop.submitter.cancel([sent[0].id, sent[2].id], ttl=60)

    started = await admitted(taker.consumer, limits, deliveries)

    assert ids(started) == [sent[1].id]
    assert [(s.ready, s.delayed, s.held) for s in await shop.broker.stats([queue])] == [(0, 0, 1)]
    assert [(await shop.record(m.id)).state for m in sent] == [
        State.CANCELLED,
        State.STARTED,
        State.CANCELLED,
    ]


async def test_given_back_before_it_is_admitted_it_can_be_cancelled(
    shop: OneStep, gated: Hand, queue: str
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    await gated.finisher.release(await take(gated.consumer), delay=60)
    await shop.submitter.cancel([sent.id], ttl=60)

    assert [(s.ready, s.delayed, s.held) for s in await shop.broker.stats([queue])] == [(0, 0, 0)]


async def test_who_dies_before_it_is_admitted_is_no_loss(shop: OneStep, gated: Hand, queue: str) -> None:
    sent = message(queue)
    await shop.submit(sent)
    await take(gated.consumer)
    async with shop.hand(queue, lease=LEASE) as heir:
        await shop.broker.bury(gated.consumer.id)
        (again,) = await take(heir.consumer)
        assert await heir.end(again)

    assert (await shop.record(sent.id)).losses == 0


@pytest.mark.parametrize("limits", [Limits("day", (Rate(1, 86_400.0),)), Limits("one", running=1)])
async def test_nothing_is_put_off_for_more_than_an_hour(
    shop: OneStep, gated: Hand, queue: str, clock: MovableClock, limits: Limits
) -> None:
    first, second = messages(queue, 2)
    await shop.submit(first, second)
    await admitted(gated.consumer, limits, await take(gated.consumer, 2))

    (waits,) = (await shop.broker.inspect(queue, Where.DELAYED)).entries
    record = await shop.record(second.id)

    assert waits.due == pytest.approx(clock.time() + PARKED, abs=10)
    assert record.due == pytest.approx(waits.due, abs=0.01)


@pytest.mark.days
async def test_turn_far_off_stays_its_own_and_its_record_lasts(
    shop: OneStep, queue: str, clock: MovableClock
) -> None:
    limits = Limits("slow", (Rate(1, 40 * DAY),))
    first, second = messages(queue, 2)
    began = clock.time()
    await shop.submit(first, second)
    async with shop.hand(queue, lease=100 * DAY, limited={"add"}) as gated:
        started = await admitted(gated.consumer, limits, await take(gated.consumer, 2))
        while len(started) < 2:
            await clock.advance(DAY)
            await shop.broker.maintain()
            assert (await shop.record(second.id)).state is State.PENDING
            started += await admitted(gated.consumer, limits, await ready(gated.consumer))

    assert clock.time() - began == pytest.approx(40 * DAY, abs=10)


@pytest.mark.parametrize("limits", [Limits("day", (Rate(1, 86_400.0),)), Limits("one", running=1)])
async def test_what_is_put_off_is_given_another_moment(
    shop: OneStep, gated: Hand, queue: str, clock: MovableClock, limits: Limits
) -> None:
    sent = messages(queue, 3)
    await shop.submit(*sent)
    await admitted(gated.consumer, limits, await take(gated.consumer, 3))

    answers = [
        await shop.submitter.reschedule(m.id, When(delay=d))
        for m, d in zip(sent[1:], (0.0, 600.0), strict=True)
    ]

    assert answers == [RescheduleOutcome.RESCHEDULED] * 2
    assert ids(await ready(gated.consumer)) == [sent[1].id]
    assert (await shop.record(sent[2].id)).due == pytest.approx(clock.time() + 600, abs=10)


async def test_woken_one_waits_for_no_moment(
    shop: OneStep, gated: Hand, queue: str, clock: MovableClock
) -> None:
    first, second = messages(queue, 2)
    await shop.submit(first, second)
    (started,) = await admitted(gated.consumer, Limits("one", running=1), await take(gated.consumer, 2))
    await gated.end(started)

    assert (await shop.record(second.id)).due == pytest.approx(clock.time(), abs=10)
    assert await shop.submitter.reschedule(second.id, When(delay=600)) is RescheduleOutcome.NOT_WAITING


async def test_key_until_started_is_held_until_it_is_admitted(shop: OneStep, gated: Hand, queue: str) -> None:
    limits, unique = Limits("one", running=1), Unique("key", until_done=False)
    first, second = message(queue), message(queue, unique=unique)
    await shop.submit(first, second)
    deliveries = await take(gated.consumer, 2)
    handed_out = await shop.submit(message(queue, unique=unique))
    (started,) = await admitted(gated.consumer, limits, deliveries)
    parked = await shop.submit(message(queue, unique=unique))
    await gated.end(started)
    woken = await ready(gated.consumer)
    taken = await shop.submit(message(queue, unique=unique))
    await admitted(gated.consumer, limits, woken)

    assert [handed_out, parked, taken] == [[Held(second.id)]] * 3
    assert await shop.submit(message(queue, unique=unique)) == [True]


async def test_cancelled_while_it_is_put_off_by_another_store_it_never_runs(pair: Pair, queue: str) -> None:
    router, name = Router(), f"task-{new_id()}"
    router.register_task(name, _nothing, rate_limit="1/d")
    first, second = messages(queue, 2, name=name, sent=pair.clock.time() - 7_200)
    await pair.backend.put([Record(m.id, m.name, m.queue) for m in (first, second)])
    await pair.broker.publish([first, second])
    async with pair.broker.consume([queue], prefetch=9, lease=LEASE, worker="w") as consumer:
        gate, finisher = Gate(consumer, router, pair.backend), TwoStepFinisher(consumer, pair.backend, "w")
        started = await gate.admitted(await take(consumer, 2), asyncio.Event())
        await pair.backend.cancel([second.id], ttl=60)
        # as if the hour were over
        assert await pair.broker.reschedule(queue, second.id, 1, When())

        again = await gate.admitted(await take(consumer), asyncio.Event())
        starts = await finisher.begin(again)

        assert ids(started) == [first.id]
        assert [start.verdict for start in starts] == [Verdict.COMMITTED]
        assert [(s.ready, s.delayed, s.held) for s in await pair.broker.stats([queue])] == [(0, 0, 1)]


async def _nothing() -> None: ...


async def due_of(broker: Broker, queue: str) -> dict[str, float]:
    """Return until when each task is put off."""
    page = await broker.inspect(queue, Where.DELAYED)
    return {entry.id: entry.due or 0.0 for entry in page.entries}


@pytest.mark.parametrize("purged", [False, True])
async def test_turns_of_those_that_are_gone_are_had_by_who_asks_next(
    shop: OneStep, gated: Hand, queue: str, purged: bool
) -> None:
    limits = Limits("minutes", (Rate(1, 60.0),))
    sent, late = messages(queue, 5), messages(queue, 2)
    await shop.submit(*sent)
    await admitted(gated.consumer, limits, await take(gated.consumer, 5))
    before = await due_of(shop.broker, queue)
    gone = [sent[3].id, sent[2].id]
    if purged:
        entries = (await shop.broker.inspect(queue, Where.DELAYED)).entries
        assert await shop.broker.remove([entry for entry in entries if entry.id in gone]) == 2
    else:
        await shop.submitter.cancel(gone, ttl=60)
    await shop.submit(*late)
    assert await admitted(gated.consumer, limits, await take(gated.consumer, 2)) == []
    after = await due_of(shop.broker, queue)

    assert [after[m.id] for m in late] == pytest.approx([before[m.id] for m in sent[2:4]], abs=0.01)
    assert after[sent[4].id] == before[sent[4].id]


async def test_other_rates_hold_for_those_that_wait_when_they_ask_again(
    broker: Broker, consumer: Consumer, queue: str, sent: list[Message]
) -> None:
    slow, fast = Limits("raised", (Rate(1, 3_000.0),)), Limits("raised", (Rate(1, 0.01, burst=9),))
    await admitted(consumer, slow, await take(consumer, 5))
    assert await broker.reschedule(queue, sent[4].id, 1, When())
    (again,) = await take(consumer)

    assert await consumer.admit([(again, fast)]) == [True]


async def test_what_is_parked_and_cancelled_leaves_nothing(shop: OneStep, gated: Hand, queue: str) -> None:
    limits = Limits("one", running=1)
    sent = messages(queue, 4)
    await shop.submit(*sent)
    (started,) = await admitted(gated.consumer, limits, await take(gated.consumer, 4))
    await shop.submitter.cancel([m.id for m in sent[1:3]], ttl=60)
    await gated.end(started)

    assert ids(await admitted(gated.consumer, limits, await ready(gated.consumer))) == [sent[3].id]


@pytest.mark.parametrize("priority", [0, 7])
async def test_woken_one_stands_where_its_priority_and_its_age_say(
    broker: Broker, consumer: Consumer, queue: str, priority: int
) -> None:
    limits, own = Limits("one", running=1), messages(queue, 2, priority=3)
    await broker.publish(own)
    (started,) = await admitted(consumer, limits, await take(consumer, 2))
    other = message(queue, priority=priority)
    await broker.publish([other])
    await settle(consumer, started)

    order = [own[1].id, other.id] if priority < 3 else [other.id, own[1].id]
    assert ids(await take(consumer, 1) + await take(consumer, 1)) == order

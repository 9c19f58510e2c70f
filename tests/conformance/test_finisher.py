"""One-step finish: commit, publish what follows and settle are one transition."""

from __future__ import annotations

import asyncio

import pytest

from aioqueue.models.state import State
from aioqueue.models.stats import QueueStats
from aioqueue.protocols.broker import Broker
from aioqueue.protocols.messages import OPEN_TTL, Settlement
from tests.support.clocks import MovableClock
from tests.support.counting import buried, counts
from tests.support.onestep import Hand, OneStep, ending
from tests.support.stores import Pair
from tests.support.waiting import ids, message, messages, ready, take, under_way, within

pytestmark = pytest.mark.anyio

LEASE = 2.0
FINAL = [State.SUCCESS, State.FAILURE, State.CANCELLED, State.EXPIRED]


async def test_only_one_store_ends_tasks_in_one_step(pair: Pair, queue: str) -> None:
    async with pair.broker.consume([queue], prefetch=1, lease=600, worker="w") as consumer:
        finisher = consumer.finisher(pair.backend)

    assert (finisher is not None) is pair.one_store
    assert (pair.broker.submitter(pair.backend) is not None) is pair.one_store


@pytest.mark.parametrize("state", FINAL)
async def test_finish_writes_what_the_attempt_came_to(
    shop: OneStep, hand: Hand, broker: Broker, queue: str, clock: MovableClock, state: State
) -> None:
    sent = message(queue, sent=12.5)
    await shop.submit(sent)
    delivery = await hand.one()
    started = (await shop.record(sent.id)).started
    await clock.advance(1)

    finished = await hand.end(delivery, state, value=b"[1]", error=b'{"message":"no"}')
    record = await shop.record(sent.id)

    assert finished
    assert (record.state, record.value, record.error) == (state, b"[1]", b'{"message":"no"}')
    assert (record.sent, record.started, record.worker, record.due) == (12.5, started, "worker-1", None)
    assert record.finished == pytest.approx(clock.time(), abs=0.5)
    assert await counts(broker, queue) == QueueStats(queue=queue)


async def test_finish_ends_a_wait(shop: OneStep, hand: Hand, queue: str) -> None:
    sent = message(queue)
    await shop.submit(sent)
    delivery = await hand.one()
    waiting = await under_way(shop.backend.wait(sent.id, timeout=600))

    await hand.end(delivery, value=b"1")
    record = await within(waiting)

    assert record == await shop.record(sent.id)


async def test_endings_of_a_batch_are_judged_alone(shop: OneStep, hand: Hand, queue: str) -> None:
    sent = messages(queue, 3)
    await shop.submit(*sent)
    deliveries = await take(hand.consumer, 3)
    await hand.consumer.release([deliveries[1]])

    finished = await hand.finisher.finish([ending(delivery, value=b"1") for delivery in deliveries])

    assert list(finished) == [True, False, True]
    assert [(await shop.record(m.id)).value for m in sent] == [b"1", None, b"1"]


async def test_value_is_shown_for_its_time(
    shop: OneStep, hand: Hand, queue: str, clock: MovableClock
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    await hand.end(await hand.one(), ttl=2)

    await clock.advance(1)
    before = await shop.gone(sent.id)
    await clock.advance(1.1)

    assert not before
    assert await shop.gone(sent.id)


async def test_value_without_time_is_not_kept(shop: OneStep, hand: Hand, queue: str) -> None:
    sent = message(queue)
    await shop.submit(sent)

    assert await hand.end(await hand.one(), value=b"1", ttl=0)
    assert await shop.gone(sent.id)


async def test_wait_ends_when_the_value_is_not_kept(shop: OneStep, hand: Hand, queue: str) -> None:
    sent = message(queue)
    await shop.submit(sent)
    delivery = await hand.one()
    waiting = await under_way(shop.backend.wait(sent.id, timeout=600))

    await hand.end(delivery, ttl=0)

    assert await within(waiting) is None


async def test_second_finish_is_true_and_does_nothing(
    shop: OneStep, hand: Hand, broker: Broker, queue: str
) -> None:
    sent, follow = messages(queue, 2)
    await shop.submit(sent)
    delivery = await hand.one()
    await hand.end(delivery, value=b"1", follow=(follow,), dead="why")
    await hand.end(await hand.one())

    again = await hand.end(delivery, State.FAILURE, value=b"2", follow=(message(queue),), dead="why")

    assert again
    assert (await shop.record(sent.id)).value == b"1"
    assert await counts(broker, queue) == QueueStats(queue=queue, dead=1)


async def test_late_finish_of_the_old_holder_writes_nothing(
    shop: OneStep, hand: Hand, broker: Broker, queue: str, clock: MovableClock
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    async with shop.hand(queue, f"{queue}-2", lease=LEASE) as mortal:
        lost = await mortal.one()
        await clock.advance(LEASE * 1.1)
        await broker.maintain()
        waiting = await mortal.end(lost, value=b"late", follow=(message(queue),), dead="late")
        delivery = await hand.one()
        running = await mortal.end(lost, value=b"late", follow=(message(queue),), dead="late")
        won = await hand.end(delivery, value=b"heir")
        ended = await mortal.end(lost, value=b"late", follow=(message(queue),), dead="late")

    assert (waiting, running, won, ended) == (False, False, True, False)
    assert (await shop.record(sent.id)).value == b"heir"
    assert await counts(broker, queue) == QueueStats(queue=queue)


async def test_finish_of_a_released_task_writes_nothing(
    shop: OneStep, hand: Hand, broker: Broker, queue: str
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    delivery = await hand.one()
    await hand.finisher.release([delivery])

    assert not await hand.end(delivery, follow=(message(queue),))
    assert (await shop.record(sent.id)).state is State.PENDING
    assert await counts(broker, queue) == QueueStats(queue=queue, ready=1)


async def test_of_two_racing_holders_one_commits(
    shop: OneStep, hand: Hand, broker: Broker, queue: str, clock: MovableClock
) -> None:
    sent = messages(queue, 20)
    await shop.submit(*sent)
    async with shop.hand(queue, lease=LEASE) as mortal:
        lost = await take(mortal.consumer, 20)
        await clock.advance(LEASE * 1.1)
        await broker.maintain()
        held = await take(hand.consumer, 20)

        won = await asyncio.gather(
            *(mortal.end(delivery, value=b"old", follow=(message(queue),)) for delivery in lost),
            *(hand.end(delivery, value=b"new", follow=(message(queue),)) for delivery in held),
        )

    assert won == [False] * 20 + [True] * 20
    assert {(await shop.record(m.id)).value for m in sent} == {b"new"}
    assert await counts(broker, queue) == QueueStats(queue=queue, ready=20)


async def test_retry_shows_its_error_and_when_it_is_due(
    shop: OneStep, hand: Hand, queue: str, clock: MovableClock
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    due = clock.time() + 2
    retry = message(queue, id=sent.id, attempt=2, eta=due)

    finished = await hand.end(
        await hand.one(), State.RETRY, error=b'{"message":"no"}', follow=(retry,), next_at=due
    )
    waiting = await shop.record(sent.id)
    early = await ready(hand.consumer)
    await clock.advance(2.1)
    delivery = await hand.one()
    running = await shop.record(sent.id)

    assert finished
    assert (waiting.state, waiting.attempt, waiting.error) == (State.RETRY, 1, b'{"message":"no"}')
    assert waiting.due == pytest.approx(due)
    assert early == []
    assert (delivery.message.attempt, delivery.begun) == (2, True)
    assert (running.state, running.attempt) == (State.STARTED, 2)


async def test_retry_inherits_the_losses(
    shop: OneStep, hand: Hand, broker: Broker, queue: str, clock: MovableClock
) -> None:
    sent, other = message(queue), message(queue)
    await shop.submit(sent)
    async with shop.hand(queue, lease=LEASE) as mortal:
        await mortal.one()
        await clock.advance(LEASE * 1.1)
        await broker.maintain()
    retry = message(queue, id=sent.id, attempt=2)
    await hand.end(await hand.one(), State.RETRY, follow=(retry, other))

    second, fresh = await take(hand.consumer, 2)

    assert (second.message, second.losses) == (retry, 1)
    assert (fresh.message, fresh.losses) == (other, 0)
    assert (await shop.record(sent.id)).losses == 1


async def test_what_follows_is_submitted_with_its_records(
    shop: OneStep, hand: Hand, queue: str, clock: MovableClock
) -> None:
    await shop.submit(message(queue))
    here, later, bare = message(queue), message(f"{queue}-2", delay=60), message(queue, tracked=False)

    await hand.end(await hand.one(), follow=(here, later, bare))
    records = [await shop.record(m.id) for m in (here, later)]

    assert [(record.state, record.queue) for record in records] == [
        (State.PENDING, queue),
        (State.PENDING, f"{queue}-2"),
    ]
    assert records[1].due == pytest.approx(clock.time() + 60, abs=1)
    assert await shop.gone(bare.id)
    assert ids(await take(hand.consumer, 2)) == [here.id, bare.id]


async def test_what_follows_is_not_sent_twice(shop: OneStep, hand: Hand, broker: Broker, queue: str) -> None:
    sent = messages(queue, 2)
    waiting, ended = messages(f"{queue}-2", 2)
    await shop.submit(*sent, waiting, ended)
    async with shop.hand(f"{queue}-2", prefetch=1) as other:
        delivery = await other.one()
        await other.consumer.release([delivery])
    async with shop.hand(f"{queue}-2") as other:
        first, second = await take(other.consumer, 2)
        await other.finisher.release([first])
        await other.end(second, value=b"1")

    finished = [
        await hand.end(delivery, follow=(waiting, ended)) for delivery in await take(hand.consumer, 2)
    ]

    assert finished == [True, True]
    assert (await shop.record(ended.id)).value == b"1"
    assert await counts(broker, f"{queue}-2") == QueueStats(queue=f"{queue}-2", ready=1)


async def test_what_follows_wakes_a_waiting_receive(shop: OneStep, hand: Hand, queue: str) -> None:
    await shop.submit(message(queue))
    delivery = await hand.one()
    waiting = await under_way(hand.consumer.receive(1, timeout=60))

    await hand.end(delivery, follow=(message(queue),))

    assert len(await within(waiting)) == 1


async def test_failure_may_leave_a_dead_letter(shop: OneStep, hand: Hand, broker: Broker, queue: str) -> None:
    sent = message(queue)
    await shop.submit(sent)

    await hand.end(await hand.one(), State.FAILURE, dead="retries used up")
    letters = await buried(broker, queue)

    assert [(d.id, d.name, d.reason, d.body) for d in letters] == [
        (sent.id, "add", "retries used up", sent.body)
    ]
    assert await counts(broker, queue) == QueueStats(queue=queue, dead=1)


async def test_untracked_task_ends_without_a_record(
    shop: OneStep, hand: Hand, broker: Broker, queue: str
) -> None:
    sent, follow = message(queue, tracked=False), message(f"{queue}-2")
    await shop.submit(sent)

    assert await hand.end(await hand.one(), value=b"1", follow=(follow,))
    assert await shop.gone(sent.id)
    assert await counts(broker, queue) == QueueStats(queue=queue)
    assert await counts(broker, f"{queue}-2") == QueueStats(queue=f"{queue}-2", ready=1)


async def test_untracked_task_is_ended_by_its_holder_only(
    shop: OneStep, hand: Hand, broker: Broker, queue: str
) -> None:
    await shop.submit(message(queue, tracked=False))
    delivery = await hand.one()

    async with shop.hand(queue) as heir:
        assert not await heir.end(delivery, follow=(message(queue),))
    assert await counts(broker, queue) == QueueStats(queue=queue, held=1)


async def test_record_forgotten_while_open_is_gone_when_it_ends(
    shop: OneStep, hand: Hand, queue: str
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    delivery = await hand.one()
    await shop.backend.forget([sent.id])

    assert await hand.end(delivery, value=b"1")
    assert await shop.gone(sent.id)


async def test_record_that_expired_while_its_task_ran_is_made_again(
    shop: OneStep, hand: Hand, queue: str, clock: MovableClock
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    delivery = await hand.one()
    # A holder is believed until upkeep has judged it, so no beat is needed here.
    await clock.advance(OPEN_TTL + 60)

    assert await hand.end(delivery, value=b"1")
    assert (await shop.record(sent.id)).value == b"1"


async def test_left_hand_can_end_nothing(shop: OneStep, broker: Broker, queue: str) -> None:
    sent = message(queue)
    await shop.submit(sent)
    async with shop.hand(queue) as mortal:
        delivery = await mortal.one()

    assert not await mortal.end(delivery, follow=(message(queue),))
    assert await counts(broker, queue) == QueueStats(queue=queue, ready=1)


async def test_finish_of_what_was_only_settled_is_no_repeat(shop: OneStep, hand: Hand, queue: str) -> None:
    sent = message(queue)
    await shop.submit(sent)
    delivery = await hand.one()
    await hand.consumer.settle([Settlement(delivery)])

    assert not await hand.end(delivery, value=b"1")
    assert (await shop.record(sent.id)).value is None


async def test_attempt_that_a_later_one_has_overtaken_cannot_end_the_task(
    shop: OneStep, hand: Hand, broker: Broker, queue: str
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    first = await hand.one()
    await broker.publish([message(queue, id=sent.id, attempt=2)])
    second = await hand.one()

    late = await hand.end(first, value=b"1", follow=(message(queue),))
    running = await shop.record(sent.id)
    won = await hand.end(second, value=b"2")

    assert (late, won) == (False, True)
    assert (running.state, running.attempt) == (State.STARTED, 2)
    assert (await shop.record(sent.id)).value == b"2"
    assert (await counts(broker, queue)).ready == 0


async def test_of_two_copies_in_one_hand_one_commits(
    shop: OneStep, hand: Hand, broker: Broker, queue: str
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    await broker.publish([message(queue, id=sent.id, hop=1)])
    first, *copies = await ready(hand.consumer)

    await hand.end(first, value=b"1", follow=(message(queue),))
    for copy in copies:
        await hand.end(copy, State.FAILURE, value=b"2", follow=(message(queue),))

    assert (await shop.record(sent.id)).value == b"1"
    assert (await counts(broker, queue)).ready == 1

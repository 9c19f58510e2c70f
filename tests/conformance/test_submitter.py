"""Submitter: a new task's record and its message, accepted in one step."""

from __future__ import annotations

import asyncio

import pytest

from aioqueue.errors import QueueFullError
from aioqueue.models.state import State
from aioqueue.models.stats import QueueStats
from aioqueue.protocols.broker import Broker, Consumer
from aioqueue.protocols.messages import OPEN_TTL, SUSPECT, Record
from tests.support.clocks import MovableClock
from tests.support.counting import counts
from tests.support.onestep import Hand, OneStep
from tests.support.waiting import ids, message, messages, one, ready, take, under_way, within

pytestmark = pytest.mark.anyio


async def test_submitted_task_waits_and_is_on_record(shop: OneStep, consumer: Consumer, queue: str) -> None:
    sent = message(queue, sent=12.5)

    accepted = await shop.submit(sent)
    record = await shop.record(sent.id)

    assert accepted == [True]
    assert (record.name, record.queue, record.state, record.attempt) == ("add", queue, State.PENDING, 1)
    assert (record.sent, record.losses, record.started, record.worker) == (12.5, 0, None, None)
    assert (await one(consumer)).message == sent


async def test_task_without_a_moment_of_sending_was_sent_now(
    shop: OneStep, queue: str, clock: MovableClock
) -> None:
    sent = message(queue)

    await shop.submit(sent)

    assert (await shop.record(sent.id)).sent == pytest.approx(clock.time(), abs=1)


async def test_record_says_when_the_task_is_due(shop: OneStep, queue: str, clock: MovableClock) -> None:
    sent = message(queue, delay=60)

    await shop.submit(sent)

    assert (await shop.record(sent.id)).due == pytest.approx(clock.time() + 60, abs=1)


async def test_submit_wakes_a_waiting_receive(shop: OneStep, consumer: Consumer, queue: str) -> None:
    waiting = await under_way(consumer.receive(1, timeout=60))

    await shop.submit(message(queue))

    assert len(await within(waiting)) == 1


async def test_id_is_accepted_once(shop: OneStep, consumer: Consumer, queue: str) -> None:
    sent = message(queue)
    await shop.submit(sent)

    again = await shop.submit(sent)

    assert again == [False]
    assert ids(await ready(consumer)) == [sent.id]


async def test_id_is_accepted_once_in_one_batch(shop: OneStep, consumer: Consumer, queue: str) -> None:
    sent, other = messages(queue, 2)

    accepted = await shop.submit(sent, sent, other)

    assert accepted == [True, False, True]
    assert ids(await ready(consumer)) == [sent.id, other.id]


@pytest.mark.parametrize("state", [State.STARTED, State.RETRY, State.SUCCESS, State.FAILURE])
async def test_id_on_record_runs_nothing(
    shop: OneStep, hand: Hand, broker: Broker, queue: str, state: State
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    delivery = await hand.one()
    if state is not State.STARTED:
        await hand.end(delivery, state)

    again = await shop.submit(sent)

    assert again == [False]
    assert (await shop.record(sent.id)).state is state
    assert (await counts(broker, queue)).ready == 0


async def test_id_is_free_again_when_its_record_is_over(
    shop: OneStep, hand: Hand, queue: str, clock: MovableClock
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    await hand.end(await hand.one(), ttl=2)
    early = await shop.submit(sent)
    await clock.advance(2.1)

    assert early == [False]
    assert await shop.submit(sent) == [True]
    assert (await hand.one()).message == sent


async def test_id_is_free_again_when_it_was_forgotten(shop: OneStep, hand: Hand, queue: str) -> None:
    sent = message(queue)
    await shop.submit(sent)
    await hand.end(await hand.one())
    await shop.backend.forget([sent.id])

    assert await shop.submit(sent) == [True]
    assert (await hand.one()).message == sent


async def test_known_ids_of_a_batch_do_not_keep_the_others_out(
    shop: OneStep, consumer: Consumer, queue: str
) -> None:
    known, *fresh = messages(queue, 3)
    await shop.submit(known)

    accepted = await shop.submit(fresh[0], known, fresh[1])

    assert accepted == [True, False, True]
    assert ids(await take(consumer, 3)) == [known.id, fresh[0].id, fresh[1].id]


async def test_record_without_a_message_keeps_its_id(shop: OneStep, consumer: Consumer, queue: str) -> None:
    sent = message(queue)
    await shop.backend.put([Record(sent.id, sent.name, queue)])

    assert await shop.submit(sent) == [False]
    assert await ready(consumer) == []


async def test_untracked_task_has_no_record(shop: OneStep, consumer: Consumer, queue: str) -> None:
    sent = message(queue, tracked=False)

    accepted = await shop.submit(sent)
    again = await shop.submit(sent)

    assert (accepted, again) == ([True], [False])
    assert await shop.gone(sent.id)
    assert ids(await ready(consumer)) == [sent.id]


async def test_open_record_is_kept_for_thirty_days_past_its_due_moment(
    shop: OneStep, queue: str, clock: MovableClock
) -> None:
    sent = message(queue, delay=86_400)
    await shop.submit(sent)

    await clock.advance(86_400 + OPEN_TTL - 60)
    before = await shop.gone(sent.id)
    await clock.advance(61)

    assert not before
    assert await shop.gone(sent.id)


async def test_cancelled_submit_has_accepted_all_or_none(
    shop: OneStep, consumer: Consumer, broker: Broker, queue: str
) -> None:
    sent = messages(queue, 300)
    submitting = asyncio.create_task(shop.submitter.submit(sent))
    await asyncio.sleep(0)
    submitting.cancel()
    await asyncio.wait([submitting], timeout=10)

    # What comes after a batch that is still being written comes out after it.
    await broker.publish([message(queue, name="mark")])
    got = await ready(consumer)
    recorded = [record for record in await shop.backend.get([m.id for m in sent]) if record is not None]

    assert (len(got), len(recorded)) in {(1, 0), (301, 300)}


async def test_concurrent_submits_of_one_id_accept_one(shop: OneStep, broker: Broker, queue: str) -> None:
    sent = message(queue)

    accepted = await asyncio.gather(*(shop.submit(sent) for _ in range(20)))

    assert sorted(accepted) == [[False]] * 19 + [[True]]
    assert await counts(broker, queue) == QueueStats(queue=queue, ready=1)


async def test_publish_writes_no_record(shop: OneStep, broker: Broker, queue: str) -> None:
    sent = message(queue)

    await broker.publish([sent])

    assert await shop.gone(sent.id)


async def test_queue_is_full_at_its_limit_and_nothing_is_written(
    shop: OneStep, broker: Broker, queue: str
) -> None:
    await shop.submit(*messages(queue, 3), limit=3)
    more = message(queue)

    with pytest.raises(QueueFullError, match=rf"{queue}.* holds 3 .* at most 3 .*max_queue"):
        await shop.submit(more, limit=3)

    assert await shop.gone(more.id)
    assert await counts(broker, queue) == QueueStats(queue=queue, ready=3)


async def test_batch_with_one_queue_that_is_full_is_refused_whole(
    shop: OneStep, broker: Broker, queue: str
) -> None:
    await shop.submit(*messages(queue, 2))
    other = message(f"{queue}-2")

    with pytest.raises(QueueFullError, match=queue):
        await shop.submit(other, message(queue), limit=2)

    assert await shop.gone(other.id)
    assert await counts(broker, f"{queue}-2") == QueueStats(queue=f"{queue}-2")


async def test_batch_that_would_pass_the_limit_is_refused_whole(
    shop: OneStep, broker: Broker, queue: str
) -> None:
    await shop.submit(message(queue))

    with pytest.raises(QueueFullError):
        await shop.submit(*messages(queue, 3), limit=3)

    assert (await counts(broker, queue)).ready == 1
    assert await shop.submit(*messages(queue, 2), limit=3) == [True, True]


async def test_full_queue_accepts_again_when_one_has_ended(shop: OneStep, hand: Hand, queue: str) -> None:
    await shop.submit(message(queue), limit=1)
    delivery = await hand.one()
    with pytest.raises(QueueFullError):
        await shop.submit(message(queue), limit=1)

    await hand.end(delivery)

    assert await shop.submit(message(queue), limit=1) == [True]


async def test_delayed_and_held_tasks_and_suspects_count(shop: OneStep, broker: Broker, queue: str) -> None:
    await shop.submit(message(queue))
    for _ in range(SUSPECT):
        async with shop.hand(queue) as mortal:
            await mortal.one()
            await broker.bury(mortal.consumer.id)
    await shop.submit(message(queue, delay=600), message(queue))
    async with shop.hand(queue, prefetch=1) as hand:
        await hand.one()

        with pytest.raises(QueueFullError):
            await shop.submit(message(queue), limit=3)
        assert await shop.submit(message(queue), limit=4) == [True]


async def test_dead_letters_do_not_count(shop: OneStep, hand: Hand, queue: str) -> None:
    await shop.submit(message(queue))
    await hand.end(await hand.one(), State.FAILURE, dead="why")

    assert await shop.submit(message(queue), limit=1) == [True]


async def test_other_queues_do_not_count(shop: OneStep, queue: str) -> None:
    await shop.submit(*messages(f"{queue}-2", 3))

    assert await shop.submit(message(queue), limit=1) == [True]


async def test_id_that_is_known_is_nothing_more_in_a_full_queue(shop: OneStep, queue: str) -> None:
    sent, other = messages(queue, 2)
    await shop.submit(sent, limit=2)

    twice = await shop.submit(sent, other, other, limit=2)

    assert twice == [False, True, False]
    assert await shop.submit(sent, other, limit=1) == [False, False]


async def test_what_follows_is_released_and_retried_at_the_limit(
    shop: OneStep, hand: Hand, broker: Broker, queue: str
) -> None:
    sent = message(queue)
    await shop.submit(sent, limit=1)
    retry, follow = message(queue, id=sent.id, attempt=2), messages(queue, 2)
    await hand.end(await hand.one(), State.RETRY, follow=(retry,), next_at=0.0)
    again = await hand.one()
    await hand.finisher.release([again])

    ended = await hand.end(await hand.one(), follow=tuple(follow))

    assert ended
    assert (await counts(broker, queue)).ready == 2


async def test_concurrent_submits_pass_no_limit_together(shop: OneStep, broker: Broker, queue: str) -> None:
    sending = (shop.submit(message(queue), limit=5) for _ in range(20))

    answers = await asyncio.gather(*sending, return_exceptions=True)

    assert sum(isinstance(answer, QueueFullError) for answer in answers) == 15
    assert await counts(broker, queue) == QueueStats(queue=queue, ready=5)

"""Every broker beside every backend: a task's way over two stores, and over one as if it were two.

Record, then message; claim, run, commit; publish what follows and settle. A process that dies
between two steps is followed by a redelivery, which repeats the step and runs nothing twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from aioqueue.dispatch import TwoStepSubmitter
from aioqueue.errors import BackendUnavailableError, QueueFullError
from aioqueue.ids import new_id
from aioqueue.models.state import State
from aioqueue.models.stats import QueueStats
from aioqueue.packing import record_of
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.broker import Consumer
from aioqueue.protocols.messages import Delivery, Ending, Message, Record, Settlement, Start, Verdict
from aioqueue.protocols.unique import Held, Unique
from tests.support.counting import counts
from tests.support.stores import Pair
from tests.support.waiting import lent, message, messages, one, passing, ready, under_way

pytestmark = pytest.mark.anyio

LEASE = 2.0


@dataclass(frozen=True, slots=True)
class Hands:
    """A worker as two stores see it: a consumer, and an owner of claims under the same name."""

    pair: Pair
    consumer: Consumer

    async def claim(self, delivery: Delivery) -> Start:
        (start,) = await self.pair.backend.claim([delivery], owner=self.consumer.id, worker="w")
        return start

    async def commit(self, ending: Ending) -> bool:
        (committed,) = await self.pair.backend.commit([ending], owner=self.consumer.id)
        return committed is not None

    async def settle(self, delivery: Delivery, *follow: Message, dead: str | None = None) -> bool:
        (settled,) = await self.consumer.settle([Settlement(delivery, follow=follow, dead=dead)])
        return settled


@asynccontextmanager
async def worker(pair: Pair, queue: str, *, lease: float = LEASE) -> AsyncIterator[Hands]:
    async with pair.broker.consume([queue], prefetch=100, lease=lease, worker="w") as consumer:
        pair.backend.lease(consumer.id, seconds=lease).beat()
        yield Hands(pair, consumer)


async def send(pair: Pair, sent: Message) -> None:
    """Write the record, then the message."""
    await pair.backend.put([Record(sent.id, sent.name, sent.queue)])
    await pair.broker.publish([sent])


async def state_of(pair: Pair, sent: Message) -> State:
    (record,) = await pair.backend.get([sent.id])
    assert record is not None
    return record.state


async def die(pair: Pair) -> int:
    """Let the leases of all who stand still lapse, and hand on what they held."""
    await pair.clock.advance(LEASE * 1.1)
    return await pair.broker.maintain()


async def test_task_runs_and_releases_the_next(pair: Pair, queue: str) -> None:
    first, second = message(queue), message(queue)
    await send(pair, first)
    waiting = await under_way(pair.backend.wait(first.id, timeout=600))

    async with worker(pair, queue) as hands:
        delivery = await one(hands.consumer)
        start = await hands.claim(delivery)
        committed = await hands.commit(Ending(delivery, State.SUCCESS, value=b"1", follow=(second,)))
        settled = await hands.settle(delivery, second)
        following = await one(hands.consumer)
    record = await passing(pair.clock, waiting)

    assert (start, committed, settled) == (Start(Verdict.RUN), True, True)
    assert record is not None
    assert record.value == b"1"
    assert following.message == second


async def test_sender_that_died_after_the_record_may_send_again(pair: Pair, queue: str) -> None:
    sent = message(queue)
    await pair.backend.put([Record(sent.id, sent.name, queue)])

    (again,) = await pair.backend.put([Record(sent.id, sent.name, queue)])
    accepted = await pair.broker.publish([sent])

    assert again
    assert list(accepted) == [True]


async def test_task_of_a_dead_worker_runs_elsewhere_as_a_loss(pair: Pair, queue: str) -> None:
    sent = message(queue)
    await send(pair, sent)
    async with worker(pair, queue) as mortal:
        lost = await one(mortal.consumer)
        await mortal.claim(lost)
        moved = await die(pair)

        async with worker(pair, queue) as heir:
            delivery = await one(heir.consumer)
            start = await heir.claim(delivery)
            late = await mortal.commit(Ending(lost, State.SUCCESS, value=b"late"))
            committed = await heir.commit(Ending(delivery, State.SUCCESS, value=b"heir"))
            settled = await heir.settle(delivery)

    assert moved == 1
    assert start == Start(Verdict.RUN, losses=1)
    assert (late, committed, settled) == (False, True, True)
    assert [r and r.value for r in await pair.backend.get([sent.id])] == [b"heir"]


@pytest.mark.parametrize("state", [State.SUCCESS, State.FAILURE, State.RETRY])
async def test_heir_of_a_worker_that_died_after_its_commit_settles_and_runs_nothing(
    pair: Pair, queue: str, state: State
) -> None:
    sent = message(queue)
    follow = message(queue, id=sent.id, attempt=2) if state is State.RETRY else message(queue)
    await send(pair, sent)
    async with worker(pair, queue) as mortal:
        lost = await one(mortal.consumer)
        await mortal.claim(lost)
        await mortal.commit(Ending(lost, state, follow=(follow,), dead="why", next_at=0.0))
        await die(pair)

        async with worker(pair, queue) as heir:
            delivery = await one(heir.consumer)
            start = await heir.claim(delivery)
            settled = await heir.settle(delivery, *start.follow, dead=start.dead)
            following = await one(heir.consumer)

    assert start == Start(Verdict.COMMITTED, follow=(follow,), dead="why")
    assert settled
    assert following.message == follow
    assert (await counts(pair.broker, queue)).dead == 1


async def test_what_follows_is_published_once_though_both_publish(pair: Pair, queue: str) -> None:
    sent, follow = message(queue), message(f"{queue}-2")
    await send(pair, sent)
    async with worker(pair, queue) as mortal:
        lost = await one(mortal.consumer)
        await mortal.claim(lost)
        await mortal.commit(Ending(lost, State.SUCCESS, follow=(follow,)))
        await die(pair)
        async with worker(pair, queue) as heir:
            delivery = await one(heir.consumer)
            start = await heir.claim(delivery)
            settled = [await mortal.settle(lost, follow), await heir.settle(delivery, *start.follow)]

    assert settled == [False, True]
    assert await counts(pair.broker, f"{queue}-2") == QueueStats(queue=f"{queue}-2", ready=1)


async def test_second_delivery_of_a_running_task_is_given_back_until_it_has_ended(
    pair: Pair, queue: str
) -> None:
    sent = message(queue)
    await send(pair, sent)
    async with worker(pair, queue, lease=600) as first, worker(pair, queue, lease=600) as second:
        delivery = await one(first.consumer)
        await first.claim(delivery)
        # As a broker does that lost a socket, and not the worker behind it.
        await pair.broker.publish([message(queue, id=sent.id, hop=1)])
        copy = await one(second.consumer)
        busy = await second.claim(copy)
        await second.consumer.release([copy], delay=busy.delay)
        await first.commit(Ending(delivery, State.SUCCESS, value=b"1"))
        await pair.clock.advance(busy.delay)
        done = await second.claim(await one(second.consumer))

    assert busy.verdict is Verdict.BUSY
    assert done == Start(Verdict.COMMITTED)


async def test_worker_that_stops_gives_back_what_runs_at_once(pair: Pair, queue: str) -> None:
    sent = message(queue)
    await send(pair, sent)
    async with worker(pair, queue) as stopping:
        delivery = await one(stopping.consumer)
        await stopping.claim(delivery)
        await pair.backend.unclaim([delivery], owner=stopping.consumer.id)
        await stopping.consumer.release([delivery])
    waiting = await state_of(pair, sent)

    async with worker(pair, queue) as heir:
        start = await heir.claim(await one(heir.consumer))

    assert waiting is State.PENDING
    assert start == Start(Verdict.RUN)


async def test_copy_of_an_ended_task_runs_nothing(pair: Pair, queue: str) -> None:
    sent = message(queue)
    await send(pair, sent)
    async with worker(pair, queue) as hands:
        delivery = await one(hands.consumer)
        await hands.claim(delivery)
        await hands.commit(Ending(delivery, State.SUCCESS, value=b"1", ttl=0))
        await hands.settle(delivery)
        await pair.broker.publish([sent])

        start = await hands.claim(await one(hands.consumer))

        assert start == Start(Verdict.COMMITTED)
        assert await ready(hands.consumer) == []


async def test_backends_claims_say_nothing_of_the_brokers_messages(pair: Pair, queue: str) -> None:
    sent = message(queue)
    await pair.broker.publish([sent])

    await pair.backend.claim([lent(sent)], owner="owner", worker="w")

    assert await counts(pair.broker, queue) == QueueStats(queue=queue, ready=1)


async def test_task_of_a_buried_worker_runs_elsewhere_at_once_as_a_loss(pair: Pair, queue: str) -> None:
    sent = message(queue)
    await send(pair, sent)
    async with worker(pair, queue, lease=600) as mortal, worker(pair, queue, lease=600) as heir:
        lost = await one(mortal.consumer)
        await mortal.claim(lost)
        await pair.backend.bury(mortal.consumer.id)
        moved = await pair.broker.bury(mortal.consumer.id)

        delivery = await one(heir.consumer)
        start = await heir.claim(delivery)
        late = await mortal.commit(Ending(lost, State.SUCCESS, value=b"late"))
        committed = await heir.commit(Ending(delivery, State.SUCCESS, value=b"heir"))

    # in one store the broker's burial has written the loss
    assert moved == 1
    assert (start.verdict, start.losses) == (Verdict.RUN, 1)
    assert (late, committed) == (False, True)


async def test_full_queue_refuses_a_send_before_anything_is_written(pair: Pair, queue: str) -> None:
    submitter = TwoStepSubmitter(pair.broker, pair.backend)
    await submitter.submit([*messages(queue, 1), message(queue, delay=600)], limit=3)
    async with worker(pair, queue) as hands:
        delivery = await one(hands.consumer)
        await submitter.submit([message(queue)], limit=3)
        refused, other = message(queue), message(f"{queue}-2")
        with pytest.raises(QueueFullError, match=rf"{queue}.* holds 3 .* at most 3 .*max_queue"):
            await submitter.submit([other, refused], limit=3)
        found = await pair.backend.get([refused.id, other.id])
        untouched = await counts(pair.broker, f"{queue}-2")

        await hands.settle(delivery)
        accepted = await submitter.submit([other, refused], limit=3)

    assert found == [None, None]
    assert untouched == QueueStats(queue=f"{queue}-2")
    assert list(accepted) == [True, True]


def unique(queue: str, id: str, *, sent: float, **what: Any) -> Message:
    return Message(id, "add", queue, id.encode(), sent=sent, unique=Unique("key"), **what)


async def test_next_call_of_a_key_is_sent_for_a_task_whose_sender_died(pair: Pair, queue: str) -> None:
    submitter, now = TwoStepSubmitter(pair.broker, pair.backend), pair.clock.time()
    dead = unique(queue, new_id(), sent=now - 60)
    await pair.backend.put([record_of(dead)])
    calls = [unique(f"{queue}-2", new_id(), sent=now) for _ in range(3)]
    early = await submitter.submit([replace(calls[0], sent=now - 50)])
    before = await counts(pair.broker, queue)

    answers = [*await submitter.submit(calls[:2]), *await submitter.submit(calls[2:])]
    async with worker(pair, queue) as hands:
        (delivery,) = await ready(hands.consumer)
        start = await hands.claim(delivery)
        committed = await hands.commit(Ending(delivery, State.SUCCESS, value=b"3"))
        await hands.settle(delivery)
        left = await ready(hands.consumer)
        freed = await submitter.submit([replace(calls[0], queue=queue)])

    assert (list(early), before.ready) == ([Held(dead.id)], 0)
    assert answers == [Held(dead.id)] * 3
    assert (delivery.message.id, delivery.message.body) == (dead.id, calls[0].body)
    assert (start.verdict, committed, left, list(freed)) == (Verdict.RUN, True, [], [True])


async def test_calls_of_a_key_whose_task_waits_add_nothing(pair: Pair, queue: str) -> None:
    submitter, now = TwoStepSubmitter(pair.broker, pair.backend), pair.clock.time()
    ready_one = unique(queue, new_id(), sent=now - 60)
    delayed = replace(ready_one, id=new_id(), delay=600.0, unique=Unique("other"))
    await submitter.submit([ready_one, delayed])
    for first in (ready_one, delayed):
        await submitter.submit([replace(first, id=new_id(), sent=now, delay=0.0)])
    waiting = await counts(pair.broker, queue)
    async with worker(pair, queue) as hands:
        delivery = await one(hands.consumer)
        await submitter.submit([replace(ready_one, id=new_id(), sent=now)])
        await hands.claim(delivery)
        held = await counts(pair.broker, queue)

    assert (waiting.ready, waiting.delayed) == (1, 1)
    assert (held.ready, held.delayed, held.held) == (0, 1, 1)
    assert delivery.message.body == ready_one.body


async def test_task_whose_sender_died_is_not_sent_before_its_moment(pair: Pair, queue: str) -> None:
    submitter, now = TwoStepSubmitter(pair.broker, pair.backend), pair.clock.time()
    dead = unique(queue, new_id(), sent=now - 600, eta=now - 45)
    await pair.backend.put([record_of(dead)])
    await submitter.submit([unique(queue, new_id(), sent=now - 20)])
    before = await counts(pair.broker, queue)
    await submitter.submit([unique(queue, new_id(), sent=now)])

    assert (before.ready, (await counts(pair.broker, queue)).ready) == (0, 1)


async def test_call_that_is_refused_or_of_another_name_runs_for_nobody(pair: Pair, queue: str) -> None:
    submitter, now = TwoStepSubmitter(pair.broker, pair.backend), pair.clock.time()
    dead = unique(queue, new_id(), sent=now - 60)
    await pair.backend.put([record_of(dead)])
    refused = unique(queue, new_id(), sent=now)
    answers = await submitter.submit(
        [replace(refused, unique=Unique("key", stands_in=False)), replace(refused, id=new_id(), name="other")]
    )

    assert list(answers) == [Held(dead.id)] * 2
    assert (await counts(pair.broker, queue)).ready == 0


async def test_what_is_new_is_sent_though_nobody_can_tell_of_who_has_a_key(pair: Pair, queue: str) -> None:
    class Blind:
        """The backend, which cannot be asked."""

        async def get(self, ids: Sequence[str]) -> Sequence[Record | None]:
            raise BackendUnavailableError("away")

        def __getattr__(self, name: str) -> Any:
            return getattr(pair.backend, name)

    now = pair.clock.time()
    submitter = TwoStepSubmitter(pair.broker, cast(Backend, Blind()))
    dead, plain = unique(queue, new_id(), sent=now - 60), message(queue)
    await pair.backend.put([record_of(dead)])

    assert list(await submitter.submit([unique(queue, new_id(), sent=now), plain])) == [Held(dead.id), True]
    assert (await counts(pair.broker, queue)).ready == 1


async def test_what_follows_is_published_in_a_full_queue(pair: Pair, queue: str) -> None:
    submitter = TwoStepSubmitter(pair.broker, pair.backend)
    await submitter.submit([message(queue)], limit=1)
    async with worker(pair, queue) as hands:
        delivery = await one(hands.consumer)
        await hands.settle(delivery, message(queue), message(queue))

    assert (await counts(pair.broker, queue)).ready == 2

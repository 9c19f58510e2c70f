"""Reschedule: what waits for a moment gets another one, in one store and in two; nothing else moves."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from aioqueue import Signature, chain
from aioqueue.ids import new_id
from aioqueue.models.state import CancelOutcome, RescheduleOutcome, State
from aioqueue.protocols.messages import OPEN_TTL, Message, Record, When
from tests.support.flows import Works
from tests.support.waiting import message, under_way, within

pytestmark = pytest.mark.anyio

NOW = When()
FAR = 3_600.0


async def sent(works: Works, **changes: object) -> Message:
    new = message(works.queue, **{"delay": FAR, "sent": works.clock.time(), **changes})
    assert list(await works.submitter.submit([new])) == [True]
    return new


async def record(works: Works, id: str) -> Record:
    (found,) = await works.backend.get([id])
    assert found is not None
    return found


async def test_task_due_in_an_hour_that_is_rescheduled_to_now_starts_at_once(works: Works) -> None:
    new = await sent(works)
    async with works.crew() as crew:
        waiting = await under_way(crew.consumer.receive(1, timeout=1_000))
        outcome = await works.submitter.reschedule(new.id, NOW)
        (delivery,) = await within(waiting)
        await crew.finisher.begin([delivery])

        assert await crew.end(delivery)
    assert outcome is RescheduleOutcome.RESCHEDULED
    assert (await record(works, new.id)).state is State.SUCCESS


async def test_other_moment_is_kept_be_it_earlier_or_later(works: Works) -> None:
    earlier, later = await sent(works), await sent(works, delay=1.0)
    moment = works.clock.time() + 40 * 86_400.0

    assert await works.submitter.reschedule(earlier.id, When(delay=1.0))
    assert await works.submitter.reschedule(later.id, When(eta=moment))
    assert (await record(works, later.id)).due == pytest.approx(moment, abs=1)
    async with works.crew() as crew:
        await works.clock.advance(1.1)
        (delivery,) = await crew.take_all()
        assert delivery.message.id == earlier.id
        await crew.end(delivery)
        assert await crew.take_all() == []
    (counts,) = await works.broker.stats([works.queue])
    assert (counts.delayed, counts.ready) == (1, 0)


async def test_consumer_that_sleeps_until_a_later_moment_is_woken_by_the_new_one(works: Works) -> None:
    new = await sent(works)
    async with works.crew() as crew:
        waiting = await under_way(crew.consumer.receive(1, timeout=1_000))
        await works.submitter.reschedule(new.id, When(delay=0.3))
        await works.clock.advance(0.4)

        assert [delivery.message.id for delivery in await within(waiting)] == [new.id]


async def test_what_waits_to_be_tried_again_is_rescheduled(works: Works) -> None:
    new = await sent(works, delay=0.0)
    async with works.crew() as crew:
        (delivery,) = await crew.take_all()
        again = replace(new, attempt=2, delay=FAR)
        due = works.clock.time() + FAR
        await crew.end(delivery, State.RETRY, follow=(again,), next_at=due)

        assert await works.submitter.reschedule(new.id, NOW)
        (delivery,) = await crew.take_all()
        assert delivery.message.attempt == 2
        assert await crew.end(delivery)


async def test_what_waits_for_no_moment_is_not_moved(works: Works) -> None:
    ready, runs, done, off = [await sent(works, delay=delay) for delay in (0.0, 0.0, 0.0, FAR)]
    await works.submitter.cancel([off.id], ttl=60)
    async with works.crew() as crew:
        deliveries = {d.message.id: d for d in await crew.take_all()}
        await crew.end(deliveries[done.id])
        await crew.finisher.release([deliveries[ready.id]])

        answers = [await works.submitter.reschedule(m.id, When(delay=9)) for m in (ready, runs, done, off)]
        assert await crew.end(deliveries[runs.id])
    unknown = await works.submitter.reschedule(new_id(), NOW)

    assert answers == [RescheduleOutcome.NOT_WAITING] * 2 + [RescheduleOutcome.ALREADY_DONE] * 2
    assert unknown is RescheduleOutcome.NOT_FOUND
    assert not any([*answers, unknown])


async def test_node_that_waits_for_others_is_not_moved_and_one_that_is_delayed_is(works: Works) -> None:
    call = chain(Signature(name="a"), Signature(name="b", delay=FAR))
    plan = works.compiled(call)
    await works.keep(plan)
    await works.open(plan)
    first, second = f"{plan.id}.0", f"{plan.id}.1"
    async with works.crew() as crew:
        before = await works.submitter.reschedule(second, NOW)
        await crew.end((await crew.take())["a"])

        assert before is RescheduleOutcome.NOT_WAITING
        assert await works.submitter.reschedule(first, NOW) is RescheduleOutcome.ALREADY_DONE
        assert await works.submitter.reschedule(second, NOW)
        assert await crew.run() == ["b"]
    assert (await record(works, plan.result)).state is State.SUCCESS


async def test_task_that_is_cancelled_after_it_was_put_off_stays_so(works: Works) -> None:
    new = await sent(works, delay=1.0)
    await works.submitter.reschedule(new.id, When(delay=OPEN_TTL / 10_000))

    assert await works.submitter.cancel([new.id], ttl=60) == [CancelOutcome.CANCELLED]
    async with works.crew() as crew:
        await works.clock.advance(1.1)
        assert await crew.take_all() == []
    assert (await record(works, new.id)).state is State.CANCELLED


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05])
async def test_race_with_promotion_and_cancel_comes_to_one_attempt_or_none(
    works: Works, delay: float
) -> None:
    tasks = [await sent(works, delay=0.02) for _ in range(20)]
    runs: list[str] = []

    async def work() -> None:
        async with works.crew() as crew:
            over = asyncio.get_running_loop().time() + 0.4
            while asyncio.get_running_loop().time() < over:
                for delivery in await crew.take_all():
                    if await crew.end(delivery):
                        runs.append(delivery.message.id)
                await works.clock.advance(0.01)

    async def disturb() -> list[CancelOutcome]:
        answers: list[CancelOutcome] = []
        for n, task in enumerate(tasks):
            await works.submitter.reschedule(task.id, When(delay=delay))
            if n % 2:
                answers += await works.submitter.cancel([task.id], ttl=60)
        return answers

    _, answers = await asyncio.gather(work(), disturb())
    await works.clock.advance(0.1)
    async with works.crew() as crew:
        while batch := await crew.take_all():
            for delivery in batch:
                if await crew.end(delivery):
                    runs.append(delivery.message.id)

    states = [(await record(works, task.id)).state for task in tasks]
    assert len(set(runs)) == len(runs)
    assert set(runs) == {task.id for task, state in zip(tasks, states, strict=True) if state is State.SUCCESS}
    cancelled = [task for task, state in zip(tasks, states, strict=True) if state is State.CANCELLED]
    assert len(cancelled) == answers.count(CancelOutcome.CANCELLED)
    assert len(runs) + len(cancelled) == len(tasks)

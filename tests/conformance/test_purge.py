"""Purge: what waits ends CANCELLED and goes, what runs is left; over one store and over two."""

from __future__ import annotations

import pytest

from aioqueue import Signature, chain, chord, group
from aioqueue.ids import new_id
from aioqueue.models.state import CancelOutcome, State
from aioqueue.models.stats import Where
from aioqueue.protocols.messages import Message
from aioqueue.queues import Purged, purged
from tests.support.counting import counts
from tests.support.flows import Crew, Works, many
from tests.support.waiting import passing, under_way

pytestmark = pytest.mark.anyio

A, B, C, TOLD = (Signature(name=name, takes="none") for name in ("a", "b", "c", "told"))
LAST = Signature(name="last")
ALL = [Where.DELAYED, Where.PENDING]


async def purge(works: Works, places: list[Where] = ALL) -> Purged:
    return await purged(works.broker, works.submitter, works.queue, places)


async def sent(works: Works, count: int = 1, *, tracked: bool = True, delay: float = 0.0) -> list[Message]:
    made = [
        Message(new_id(), "a", works.queue, b"", delay=delay, tracked=tracked, sent=works.clock.time())
        for _ in range(count)
    ]
    await works.submitter.submit(made)
    return made


async def empty(works: Works, crew: Crew) -> bool:
    stats = await counts(works.broker, works.queue)
    return await crew.take_all() == [] and (stats.ready, stats.delayed) == (0, 0)


@pytest.mark.parametrize("delay", [0.0, 3600.0])
async def test_what_waits_ends_cancelled_and_its_waiter_is_told(works: Works, delay: float) -> None:
    (one,) = await sent(works, delay=delay)
    waiting = await under_way(works.backend.wait(one.id, timeout=600))

    assert await purge(works) == Purged(removed=1)
    record = await passing(works.clock, waiting)

    assert record is not None
    assert record.state is State.CANCELLED
    async with works.crew() as crew:
        assert await empty(works, crew)


async def test_more_than_a_page_goes(works: Works) -> None:
    made = [*await sent(works, 450), *await sent(works, 250, delay=3600)]

    assert await purge(works) == Purged(removed=700)

    records = await works.backend.get([m.id for m in made])
    assert {record.state for record in records if record is not None} == {State.CANCELLED}
    async with works.crew() as crew:
        assert await empty(works, crew)


@pytest.mark.parametrize("where", ALL)
async def test_one_place_alone_may_be_emptied(works: Works, where: Where) -> None:
    await sent(works, 2)
    await sent(works, 3, delay=3600)

    done = await purge(works, [where])

    stats = await counts(works.broker, works.queue)
    left = {Where.PENDING: (0, 3), Where.DELAYED: (2, 0)}[where]
    assert (stats.ready, stats.delayed) == left
    assert done.removed == 5 - sum(left)


async def test_what_runs_is_left_alone(works: Works) -> None:
    (runs,) = await sent(works)
    async with works.crew() as crew:
        (delivery,) = await crew.take_all()
        await sent(works, 2)

        done = await purge(works)

        assert done == Purged(removed=2)
        assert (await works.record(runs.id)).state is State.STARTED
        assert await crew.end(delivery)
        assert await empty(works, crew)
    assert (await works.record(runs.id)).state is State.SUCCESS


async def test_started_task_is_spared_by_a_cancel_of_what_waits(works: Works) -> None:
    (runs,) = await sent(works)
    (waits,) = await sent(works, delay=3600)
    async with works.crew() as crew:
        (delivery,) = await crew.take_all()

        answers = await works.submitter.cancel([runs.id, waits.id, "none"], ttl=3600, waiting=True)

        assert list(answers) == [CancelOutcome.RUNNING, CancelOutcome.CANCELLED, CancelOutcome.NOT_FOUND]
        assert await crew.end(delivery)


async def test_untracked_ones_are_removed(works: Works) -> None:
    await sent(works, 3, tracked=False)

    assert await purge(works) == Purged(removed=3)

    async with works.crew() as crew:
        assert await empty(works, crew)


async def test_message_whose_record_is_gone_is_removed(works: Works) -> None:
    await works.broker.publish([Message(new_id(), "a", works.queue, b"")])

    assert await purge(works) == Purged(removed=1)
    assert (await counts(works.broker, works.queue)).ready == 0


async def test_task_that_waits_for_another_attempt_ends_cancelled(works: Works) -> None:
    (one,) = await sent(works)
    async with works.crew() as crew:
        (delivery,) = await crew.take_all()
        again = Message(one.id, "a", works.queue, b"", attempt=2, delay=3600)
        await crew.end(delivery, State.RETRY, follow=(again,), next_at=works.clock.time() + 3600)

        assert await purge(works) == Purged(removed=1)
        assert await empty(works, crew)
    assert (await works.record(one.id)).state is State.CANCELLED


async def test_chain_ends_and_tells_what_is_to_be_told(works: Works) -> None:
    plan = await works.send(chain(A, B, C).options(on_error=TOLD))

    assert (await purge(works)).removed == 1
    async with works.crew() as crew:
        assert await crew.run() == ["told"]

    states = await works.states(plan)
    # as by a cancel of its first step
    assert [states[name] for name in "abc"] == [State.CANCELLED, State.CANCELLED, State.FAILURE]


async def test_members_of_a_chord_go_and_its_callback_never_runs(works: Works) -> None:
    plan = await works.send(chord(group([A, B, C]), LAST))

    assert (await purge(works)).removed == 3

    states = await works.states(plan)
    assert set(states.values()) <= {State.CANCELLED, State.FAILURE}
    async with works.crew() as crew:
        assert await empty(works, crew)
        assert await crew.run() == []


async def test_message_for_the_rest_of_a_large_group_is_left_and_opens_it(works: Works) -> None:
    await works.send(many(*(Signature(name=f"n{n}", takes="none") for n in range(450))))

    done = await purge(works)
    async with works.crew() as crew:
        names = await crew.run()

    assert done.removed + len(names) == 450
    assert done.left == 1
    assert names


async def test_purge_may_be_repeated_after_the_word_and_before_the_message(works: Works) -> None:
    made = await sent(works, 5)
    # as one that died after that has left it
    await works.backend.cancel([m.id for m in made[:3]], ttl=3600, waiting=True)

    await purge(works)

    records = await works.backend.get([m.id for m in made])
    assert {record.state for record in records if record is not None} == {State.CANCELLED}
    async with works.crew() as crew:
        assert await empty(works, crew)


async def test_task_of_a_dead_worker_is_no_running_one(works: Works) -> None:
    (one,) = await sent(works)
    async with works.crew() as crew:
        await crew.take_all()
        await works.broker.bury(crew.consumer.id)
        await works.backend.bury(crew.consumer.id)

        assert await purge(works) == Purged(removed=1)

    assert (await works.record(one.id)).state is State.CANCELLED


async def test_paused_queue_can_be_emptied(works: Works) -> None:
    await sent(works, 2)
    await works.broker.pause(works.queue)

    assert await purge(works) == Purged(removed=2)
    await works.broker.resume(works.queue)

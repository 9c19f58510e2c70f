"""Workflows over two stores: what a crash between commit and publish leaves is published by a redelivery."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aioqueue import Signature, chain, chord
from aioqueue.models.state import State
from aioqueue.protocols.flow import OPEN, PAGE, Opened
from aioqueue.protocols.messages import Committed, Message, Start, Verdict
from tests.support.counting import counts
from tests.support.faulty import Crash, Faults, FaultyBackend, FaultyBroker, Moment
from tests.support.flows import Crew, Works, ended, failure, many, opening, works_of_two
from tests.support.stores import Pair
from tests.support.waiting import one, ready

pytestmark = pytest.mark.anyio

LEASE = 2.0
A, B, TOLD = (Signature(name=name, takes="none") for name in ("a", "b", "told"))
NEXT, LAST = (Signature(name=name) for name in ("next", "last"))


@pytest.fixture
def two(pair: Pair, queue: str) -> Works:
    """The pair as two stores."""
    return works_of_two(pair.broker, pair.backend, pair.clock, queue)


async def committed(works: Works, crew: Crew, name: str, state: State = State.SUCCESS) -> Committed | None:
    """Start and commit a task, and die before anything of it is published."""
    delivery = (await crew.take())[name]
    error = failure("no") if state is State.FAILURE else None
    (answer,) = await works.backend.commit([ended(delivery, state, error=error)], owner=crew.consumer.id)
    return answer


async def die(works: Works) -> None:
    await works.clock.advance(LEASE * 1.1)
    await works.broker.maintain()


async def test_commit_answers_what_the_workflow_released(two: Works) -> None:
    plan = await two.send(chain(A, NEXT))
    async with two.crew() as crew:
        delivery = (await crew.take())["a"]
        endings = [ended(delivery)]
        first = await two.backend.commit(endings, owner=crew.consumer.id)
        again = await two.backend.commit(endings, owner=crew.consumer.id)
        other = await two.backend.commit(endings, owner="another")

    assert list(first) == list(again) == [Committed((plan.nodes[1].message,))]
    assert list(other) == [None]


@pytest.mark.parametrize("state", [State.SUCCESS, State.FAILURE])
async def test_redelivery_publishes_what_a_dead_worker_released(two: Works, state: State) -> None:
    await two.send(chain(A, NEXT).options(on_error=[TOLD]))
    async with two.crew(lease=LEASE) as mortal:
        answer = await committed(two, mortal, "a", state)
        await die(two)
        async with two.crew() as heir:
            ran = await heir.run()

    assert answer is not None
    assert [message.name for message in answer.released] == ran
    assert ran == ["next" if state is State.SUCCESS else "told"]


async def test_redelivery_is_told_what_follows_and_what_was_released(two: Works) -> None:
    plan = await two.send(chain(A, NEXT))
    async with two.crew(lease=LEASE) as mortal:
        delivery = (await mortal.take())["a"]
        own = Message(f"{delivery.message.id}.s0", "own", two.queue, b"")
        await two.backend.commit([ended(delivery, follow=(own,))], owner=mortal.consumer.id)
        await die(two)
        async with two.crew() as heir:
            (start,) = await two.backend.claim([await one(heir.consumer)], owner="heir", worker="w")

    assert start == Start(Verdict.COMMITTED, follow=(own, plan.nodes[1].message))


async def test_what_was_released_is_published_once_though_both_publish(two: Works) -> None:
    await two.send(chain(A, NEXT, LAST))
    async with two.crew(lease=LEASE) as mortal:
        answer = await committed(two, mortal, "a")
        assert answer is not None
        await two.broker.publish(answer.released)
        await die(two)
        async with two.crew() as heir:
            ran = await heir.run()

    assert ran == ["next", "last"]


async def test_member_whose_worker_died_after_its_commit_joins_once(two: Works) -> None:
    plan = await two.send(chord(many(A, B), LAST))
    async with two.crew(lease=LEASE) as mortal:
        taken = await mortal.take()
        for name in ("b", "a"):
            await two.backend.commit([ended(taken[name])], owner=mortal.consumer.id)
        await die(two)
        async with two.crew() as heir:
            ran = await heir.run()

    assert ran == ["last"]
    assert await two.value(plan.joins[0].id) == ["a", "b"]


async def test_opening_answers_again_what_has_not_started(two: Works) -> None:
    plan = two.compiled(many(A, B))
    await two.keep(plan)
    start = opening(plan)
    first = await two.backend.open_workflow(start)
    again = await two.backend.open_workflow(start)
    await two.broker.publish(first.messages)
    async with two.crew() as crew:
        await crew.take()
        running = await two.backend.open_workflow(start)

    assert [message.name for message in first.messages] == ["a", "b"]
    assert (first.started, again) == (True, Opened(False, first.messages))
    assert running == Opened(False)


async def test_sender_that_died_before_it_published_may_open_again(two: Works) -> None:
    plan = two.compiled(chain(A, NEXT))
    await two.keep(plan)
    await two.backend.open_workflow(opening(plan))

    await two.open(plan)
    await two.open(plan)
    async with two.crew() as crew:
        assert await crew.run() == ["a", "next"]


async def test_next_page_is_answered_again_until_it_has_started(two: Works) -> None:
    plan = two.compiled(many(*(Signature(name=f"n{number}") for number in range(2 * PAGE + 1))))
    await two.keep(plan)
    (*_, first) = (await two.backend.open_workflow(opening(plan))).messages
    pages = [await two.backend.release_more(first) for _ in range(2)]
    second = pages[0][-1]
    rest = await two.backend.release_more(second)

    assert (first.id, first.name, first.body) == (f"{plan.id}.open.{PAGE}", OPEN, b"200 201")
    assert (first.queue, first.tracked) == (two.queue, False)
    assert pages[0] == pages[1]
    assert [message.name for message in pages[0][:-1]] == [f"n{n}" for n in range(PAGE, 2 * PAGE)]
    assert (second.id, second.body) == (f"{plan.id}.open.{2 * PAGE}", b"400 1")
    assert [message.name for message in rest] == [f"n{2 * PAGE}"]


async def test_worker_that_died_with_the_next_page_is_followed_by_one_that_releases_it(two: Works) -> None:
    names = [f"n{number}" for number in range(PAGE + 3)]
    plan = await two.send(chord(many(*(Signature(name=name) for name in names)), LAST))
    async with two.crew(lease=LEASE) as mortal:
        opener = (await mortal.take())[OPEN]
        await two.backend.release_more(opener.message)
        await die(two)
        async with two.crew() as heir:
            ran = await heir.run()

    assert sorted(ran) == sorted([*names, "last"])
    assert await two.value(plan.joins[0].id) == names


async def test_delivery_in_a_closed_scope_is_settled_and_never_runs(two: Works) -> None:
    plan = await two.send(chord(many(A, B), LAST))
    async with two.crew(prefetch=1) as crew:
        (first,) = await crew.take_all()
        await crew.fail(first)
        raw = await ready(crew.consumer)
        starts = await crew.finisher.begin(raw)
        again = await two.backend.claim(raw, owner="another", worker="w")

    assert list(starts) == list(again) == [Start(Verdict.COMMITTED)]
    assert (await two.states(plan))[raw[0].message.name] is State.CANCELLED
    assert (await counts(two.broker, two.queue)).held == 0


async def test_own_repeat_of_a_claim_in_a_closed_scope_runs_on(two: Works) -> None:
    await two.send(chord(many(A, B), LAST))
    async with two.crew() as crew:
        taken = await crew.take()
        await crew.fail(taken["a"])
        mine = await two.backend.claim([taken["b"]], owner=crew.consumer.id, worker="w")
        theirs = await two.backend.claim([taken["b"]], owner="another", worker="w")

    assert [start.verdict for start in (*mine, *theirs)] == [Verdict.RUN, Verdict.BUSY]


async def test_what_cannot_be_read_in_an_opener_releases_nothing(two: Works) -> None:
    plan = await two.send(many(A))
    for body in (b"", b"1", b"x y", b"\xff \xff", b"-1 5", b"0 0"):
        assert list(await two.backend.release_more(Message(f"{plan.id}.open.1", OPEN, two.queue, body))) == []


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("name", "nth"),
    [
        ("claim", 2),
        ("commit", 1),
        ("commit", 2),
        ("release_more", 1),
        ("put", 1),
        ("settle", 1),
        ("settle", 3),
    ],
)
async def test_worker_may_die_at_any_call(two: Works, moment: Moment, name: str, nth: int) -> None:
    names = [f"n{number}" for number in range(PAGE + 2)]
    whole = chain(chord(many(*(Signature(name=name) for name in names)), NEXT), LAST)
    plan = await two.send(whole.options(on_error=[TOLD]))
    faults = Faults(crash_at=(name, moment, nth))
    broker, backend = FaultyBroker(two.broker, faults), FaultyBackend(two.backend, faults)
    with pytest.raises(Crash):
        async with replace(two, broker=broker, backend=backend).crew(lease=LEASE) as mortal:
            await mortal.run()
    await die(two)
    async with two.crew() as heir:
        ran = await heir.run()
    await broker.clear_up()

    states = await two.states(plan)
    assert len(ran) == len(set(ran))
    assert states.pop("told") is State.CANCELLED
    assert set(states.values()) == {State.SUCCESS}
    assert await two.value(next(join.id for join in plan.joins if not join.single)) in (None, names)
    assert (await counts(two.broker, two.queue)).ready == 0

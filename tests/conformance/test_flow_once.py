"""Each move of a workflow is made once, whatever is repeated, lost or done at the same time."""

from __future__ import annotations

import asyncio

import pytest

from aioqueue import Signature, chain, chord
from aioqueue.models.state import State
from aioqueue.protocols.flow import Node, Opening, Page, Place, Range
from aioqueue.protocols.messages import Message
from tests.support.flows import Works, calls, ended, many, retry_of

pytestmark = pytest.mark.anyio

A, B, C, D, E = calls("abcde")
NEXT, LAST = (Signature(name=name) for name in ("next", "last"))
NOBODY = many()


async def test_second_end_of_a_node_releases_nothing_more(works: Works) -> None:
    plan = await works.send(chain(A, NEXT, LAST))
    async with works.crew() as crew:
        first = (await crew.take())["a"]
        await crew.end(first)
        again = await crew.end(first, value=b'"other"')
        ran = await crew.run()
        late = await crew.end(first)

    assert (again, late) == (True, True)
    assert ran == ["next", "last"]
    assert await works.value(plan.joins[1].id) == "next"


async def test_two_members_that_end_at_once_call_back_once(works: Works) -> None:
    for _ in range(5):
        await works.send(chord(many(A, B), LAST))
        async with works.crew(prefetch=1) as one, works.crew(prefetch=1) as other:
            (first,), (second,) = await one.take_all(), await other.take_all()
            done = await asyncio.gather(one.end(first), other.end(second))
        async with works.crew() as crew:
            ran = await crew.run()

        assert all(done)
        assert ran == ["last"]


async def test_members_that_end_in_one_batch_call_back_once(works: Works) -> None:
    plan = await works.send(chord(many(A, B, C), LAST))
    async with works.crew() as crew:
        batch = await crew.take_all()
        done = await crew.finisher.finish([ended(delivery) for delivery in [*batch, batch[0]]])
        ran = await crew.run()

    assert list(done) == [True] * 4
    assert ran == ["last"]
    assert await works.value(plan.joins[0].id) == ["a", "b", "c"]


async def test_retry_moves_nothing(works: Works) -> None:
    plan = await works.send(chain(A, NEXT))
    async with works.crew() as crew:
        first = (await crew.take())["a"]
        await crew.end(first, State.RETRY, follow=(retry_of(first),), next_at=works.clock.time())
        waiting = await works.value(plan.joins[0].id)
        second = await crew.take_all()
        await crew.end(second[0])
        ran = await crew.run()

    assert waiting is ...
    assert [(d.message.name, d.message.attempt) for d in second] == [("a", 2)]
    assert ran == ["next"]


async def test_node_of_a_lost_worker_runs_elsewhere_and_joins_once(works: Works) -> None:
    plan = await works.send(chord(many(A, B), LAST))
    async with works.crew(lease=2.0) as mortal:
        lost = await mortal.take()
        await mortal.end(lost["a"])
        await works.clock.advance(2.2)
        await works.maintain()
        async with works.crew() as heir:
            taken = await heir.take()
            late = await mortal.end(lost["b"], value=b'"late"')
            await heir.end(taken["b"], value=b'"heir"')
            ran = await heir.run()

    assert list(taken) == ["b"]
    assert (late, ran) == (False, ["last"])
    assert await works.value(plan.joins[0].id) == ["a", "heir"]


async def test_workflow_that_is_kept_and_opened_again_runs_once(works: Works) -> None:
    plan = await works.send(chain(many(NOBODY, A), NEXT))
    seen: list[list[str]] = []
    async with works.crew() as crew:
        for _ in range(4):
            await works.keep(plan)
            await works.open(plan)
            batch = await crew.take_all()
            seen.append([delivery.message.name for delivery in batch])
            for delivery in batch:
                await works.keep(plan)
                await works.open(plan)
                await crew.end(delivery, ttl=0)

    assert seen == [["a"], ["next"], [], []]
    assert await works.value(plan.joins[0].id) == [[], "a"]


async def test_kept_again_a_node_that_has_ended_stays_so(works: Works) -> None:
    plan = await works.send(many(A))
    async with works.crew() as crew:
        await crew.run()
    await works.keep(plan)

    assert await works.states(plan) == {"a": State.SUCCESS}
    assert (await works.record(plan.result)).state is State.SUCCESS


async def test_node_whose_join_is_not_there_ends_all_the_same(works: Works) -> None:
    message = Message(f"{works.queue}.0", "a", works.queue, b"")
    place = Place(f"{works.queue}.7", 0)
    await works.backend.plan(Page((Node(message, place, f"{works.queue}.8"),), (), ()))
    await works.submitter.open_workflow(Opening(works.queue, Range(0, 1)))

    async with works.crew() as crew:
        assert await crew.run() == ["a"]


async def test_workflow_nobody_has_kept_cannot_be_opened(works: Works) -> None:
    await works.submitter.open_workflow(Opening(works.queue, Range(0, 5), (f"{works.queue}.6",)))

    async with works.crew() as crew:
        assert await crew.run() == []


async def test_workflow_of_another_digest_is_not_kept_and_disturbs_nothing(works: Works) -> None:
    mine = works.compiled(chain(A, B), id=works.queue)
    other = works.compiled(chain(C, D, B), id=works.queue)
    await works.backend.plan(Page(mine.nodes, mine.joins, mine.scopes, "mine"))

    taken = await works.backend.plan(Page(other.nodes, other.joins, other.scopes, "other"))
    without = await works.backend.plan(Page(other.nodes, other.joins, other.scopes))
    again = await works.backend.plan(Page(mine.nodes, mine.joins, mine.scopes, "mine"))
    await works.open(mine)
    async with works.crew() as crew:
        assert await crew.run() == ["a", "b"]

    assert (list(taken), list(without), list(again)) == ([f"{works.queue}.0"], [f"{works.queue}.0"], [])

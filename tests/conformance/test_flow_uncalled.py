"""What will never be called reads CANCELLED once what it hangs on is decided, over one store and over two."""

from __future__ import annotations

import pytest

from aioqueue import Signature, chain, chord
from aioqueue.models.state import CancelOutcome, State
from tests.support.flows import Works, many
from tests.support.waiting import passing, under_way

pytestmark = pytest.mark.anyio

A, B, C, GOOD, BAD, OTHER = (
    Signature(name=name, takes="none") for name in ("a", "b", "c", "good", "bad", "other")
)
NEXT, LAST = (Signature(name=name) for name in ("next", "last"))
WHOLE = many(A, B).options(on_success=[chain(GOOD, NEXT)], on_error=[chain(BAD, LAST), OTHER])


async def test_callbacks_of_a_failure_are_cancelled_by_the_success(works: Works) -> None:
    plan = await works.send(WHOLE)
    nodes = works.nodes(plan)
    async with works.crew() as crew:
        taken = await crew.take()
        await crew.end(taken["a"])
        before = await works.states(plan)
        waiting = await under_way(works.backend.wait(nodes["last"], timeout=7))
        await crew.end(taken["b"])
        called = await works.states(plan)
        ran = await crew.run()
    record = await passing(works.clock, waiting)
    after = await works.states(plan)

    assert {before[name] for name in ("good", "next", "bad", "last", "other")} == {State.PENDING}
    assert (called["good"], called["next"]) == (State.PENDING, State.PENDING)
    assert ran == ["good", "next"]
    assert {after[name] for name in ("bad", "last", "other")} == {State.CANCELLED}
    assert record is not None
    assert record.state is State.CANCELLED
    assert list(await works.submitter.cancel([nodes["bad"]], ttl=60)) == [CancelOutcome.ALREADY_DONE]


@pytest.mark.parametrize("cancelled", [True, False])
async def test_callbacks_of_a_success_are_cancelled_by_the_failure(works: Works, cancelled: bool) -> None:
    plan = await works.send(WHOLE)
    async with works.crew() as crew:
        taken = await crew.take()
        if cancelled:
            await works.submitter.cancel([plan.id], ttl=60)
        else:
            await crew.fail(taken["a"])
        called = await works.states(plan)
        ran = await crew.run()
    after = await works.states(plan)

    assert (called["bad"], called["last"], called["other"]) == (State.PENDING,) * 3
    assert sorted(ran) == ["bad", "last", "other"]
    assert (after["good"], after["next"]) == (State.CANCELLED, State.CANCELLED)


async def test_callbacks_in_what_was_stopped_from_outside_are_cancelled(works: Works) -> None:
    inner = chain(B, many(C).options(on_success=[GOOD], on_error=[BAD]))
    plan = await works.send(chord(many(A, inner), LAST))
    async with works.crew() as crew:
        await crew.fail((await crew.take())["a"])
        ran = await crew.run()
    states = await works.states(plan)

    assert ran in ([], ["b"])
    assert (states["c"], states["good"], states["bad"]) == (State.CANCELLED,) * 3


async def test_callbacks_of_what_is_called_are_decided_by_that(works: Works) -> None:
    told = chain(BAD, OTHER).options(on_error=[LAST])
    plan = await works.send(
        many(A).options(on_error=[told], on_success=[many(GOOD).options(on_error=[NEXT])])
    )
    async with works.crew() as crew:
        await crew.fail((await crew.take())["a"])
        before = await works.states(plan)
        await crew.fail((await crew.take())["bad"])
        ran = await crew.run()
    after = await works.states(plan)

    assert (before["good"], before["next"], before["last"]) == (
        State.CANCELLED,
        State.CANCELLED,
        State.PENDING,
    )
    assert (ran, after["last"]) == (["last"], State.SUCCESS)


async def test_callback_that_fails_leaves_those_beside_it(works: Works) -> None:
    await works.send(many(A).options(on_success=[GOOD, OTHER, NEXT]))
    async with works.crew() as crew:
        await crew.end((await crew.take())["a"])
        taken = await crew.take()
        await crew.fail(taken["good"])
        assert await crew.end(taken["other"])
        assert await crew.end(taken["next"])

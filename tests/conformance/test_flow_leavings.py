"""What a workflow leaves when it could not go on: over one store and over two."""

from __future__ import annotations

import pytest

from aioqueue import Signature, chain, chord
from aioqueue.models.state import State
from tests.support.flows import Works, calls, many
from tests.support.waiting import passing, under_way

pytestmark = pytest.mark.anyio

A, B, C, D = calls("abcd")
NEXT, LAST = (Signature(name=name) for name in ("next", "last"))
SHORT = 1.5
"""Seconds that a test may also wait for where a service keeps the time."""


async def gone(works: Works, *workflows: str) -> bool:
    """Tell whether nothing is kept of workflows, once what they came to is shown no more."""
    await works.clock.advance(SHORT + 0.1)
    await works.maintain()
    return [await works.backend.workflow(id) for id in workflows] == [None] * len(workflows)


@pytest.mark.parametrize("runs", [True, False])
async def test_member_that_went_on_goes_with_the_chord_that_failed(works: Works, runs: bool) -> None:
    plan = await works.send(chord(many(A, B), LAST))
    async with works.crew(prefetch=2) as crew:
        taken = await crew.take()
        instead = await works.instead(taken["a"], chain(C, NEXT))
        await crew.go_on(taken["a"], instead)
        inner = await crew.take() if runs else {}
        waiting = await under_way(works.backend.wait(plan.nodes[0].message.id, timeout=600))
        await crew.fail(taken["b"], ttl=SHORT)
        told = await passing(works.clock, waiting, seconds=0.9, step=0.05)
        if runs:
            await crew.end(inner["c"], ttl=SHORT)
        rest = await crew.run()
        states = await works.states(plan)

    assert (rest, told and told.state) == ([], State.CANCELLED)
    assert states == {"a": State.CANCELLED, "b": State.FAILURE, "last": State.FAILURE}
    assert await gone(works, plan.id, instead.id)


async def test_member_that_went_on_twice_goes_with_the_chord_that_failed(works: Works) -> None:
    plan = await works.send(chord(many(A, B), LAST))
    async with works.crew() as crew:
        taken = await crew.take()
        outer = await works.instead(taken["a"], chain(C, NEXT))
        await crew.go_on(taken["a"], outer)
        middle = (await crew.take())["c"]
        inner = await works.instead(middle, many(D))
        await crew.go_on(middle, inner)
        last = (await crew.take())["d"]
        await crew.fail(taken["b"], ttl=SHORT)
        await crew.end(last, ttl=SHORT)

    assert await gone(works, plan.id, outer.id, inner.id)


async def test_member_that_goes_on_when_its_chord_has_failed_goes_with_it(works: Works) -> None:
    plan = await works.send(chord(many(A, B), LAST))
    async with works.crew() as crew:
        taken = await crew.take()
        instead = await works.instead(taken["a"], chain(C, NEXT))
        await crew.fail(taken["b"], ttl=SHORT)
        await crew.go_on(taken["a"], instead)
        rest = await crew.run()
        states = await works.states(plan)

    assert (rest, states["a"]) == ([], State.CANCELLED)
    assert await gone(works, plan.id, instead.id)


@pytest.mark.parametrize("whole", [True, False])
async def test_what_a_cancelled_task_was_to_go_on_as_goes_at_once(works: Works, whole: bool) -> None:
    plan = await works.send(chain(A, NEXT))
    async with works.crew() as crew:
        delivery = (await crew.take())["a"]
        instead = await works.instead(delivery, many(C, D))
        await works.submitter.cancel([plan.id if whole else delivery.message.id], ttl=SHORT)
        done = await crew.go_on(delivery, instead)
        rest = await crew.run()
        await works.maintain()
        left = await works.backend.get([node.message.id for node in instead.nodes])

    assert (done, rest, left) == (False, [], [None] * len(instead.nodes))
    assert not await works.open(instead)
    assert await gone(works, plan.id)


@pytest.mark.parametrize("around", [A, chain(A, NEXT), many(A, B), chain(A, NEXT).options(on_success=[LAST])])
async def test_plans_within_plans_go_with_what_they_came_to(works: Works, around: Signature) -> None:
    plan = await works.send(around)
    async with works.crew() as crew:
        taken = await crew.take()
        if "b" in taken:
            await crew.end(taken["b"], ttl=SHORT)
        outer = await works.instead(taken["a"], chain(C, D), on_success=(LAST,) if around is A else ())
        await crew.go_on(taken["a"], outer)
        await crew.end((await crew.take())["c"], ttl=SHORT)
        middle = (await crew.take())["d"]
        inner = await works.instead(middle, many(B, B))
        await crew.go_on(middle, inner)
        while batch := await crew.take_all():
            for delivery in batch:
                await crew.end(delivery, ttl=SHORT)

    assert await gone(works, plan.id, outer.id, inner.id)

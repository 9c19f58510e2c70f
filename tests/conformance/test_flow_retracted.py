"""Workflows of which a sender takes back what it has kept: over one store and over two."""

from __future__ import annotations

import pytest

from aioqueue import Signature, chain, chord
from aioqueue.canvas import Plan
from aioqueue.opener import pages
from aioqueue.protocols.flow import Page
from tests.support.flows import Works, calls, many
from tests.support.waiting import passing, under_way

pytestmark = pytest.mark.anyio

A, B, C, D = calls("abcd")
NEXT, LAST = (Signature(name=name) for name in ("next", "last"))
CALL = chord(many(A, B), LAST)


def mine(works: Works) -> Plan:
    """Return a workflow under an id that its sender has chosen."""
    return works.compiled(CALL, id=works.queue)


def written(plan: Plan, keeper: str, digest: str = "mine") -> Page:
    """Return *plan* as a sender keeps it."""
    return Page(plan.nodes, plan.joins, plan.scopes, digest, keeper)


async def ran(works: Works) -> list[str]:
    """Run all there is; return what ran, in some order."""
    async with works.crew() as crew:
        return sorted(await crew.run())


async def test_what_its_only_keeper_takes_back_is_gone_and_another_workflow_may_have_the_id(
    works: Works,
) -> None:
    plan, other = mine(works), works.compiled(chain(C, many(D, D), NEXT), id=works.queue)
    await works.backend.plan(written(plan, "one"))
    await works.backend.retract(plan.id, "one")
    left = await works.backend.get([*(node.message.id for node in plan.nodes), plan.result])
    foreign = await works.backend.plan(written(other, "two", "other"))
    await works.open(other)

    assert (left, list(foreign)) == ([None] * 4, [])
    assert await ran(works) == ["c", "d", "d", "next"]


async def test_what_was_taken_back_cannot_be_opened(works: Works) -> None:
    plan = mine(works)
    await works.backend.plan(written(plan, "one"))
    await works.backend.retract(plan.id, "one")

    assert not await works.open(plan)
    assert await ran(works) == []


async def test_same_workflow_may_be_kept_again(works: Works) -> None:
    plan = mine(works)
    await works.backend.plan(written(plan, "one"))
    await works.backend.retract(plan.id, "one")
    await works.backend.plan(written(plan, "two"))

    assert await works.open(plan)
    assert await ran(works) == ["a", "b", "last"]


async def test_another_sender_of_the_same_finds_all_that_it_has_kept(works: Works) -> None:
    plan = mine(works)
    await works.backend.plan(written(plan, "one"))
    await works.backend.plan(Page(plan.nodes[:1], (), (), "mine", "two"))
    await works.backend.retract(plan.id, "one")
    await works.backend.plan(Page(plan.nodes[1:], plan.joins, plan.scopes, "mine", "two"))

    assert await works.open(plan)
    assert await ran(works) == ["a", "b", "last"]


async def test_it_is_gone_once_all_have_taken_it_back_who_kept_it(works: Works) -> None:
    plan = mine(works)
    for keeper in ("one", "two", "one"):
        await works.backend.plan(written(plan, keeper))
    for keeper in ("one", "one", "nobody"):
        await works.backend.retract(plan.id, keeper)
    (still, *_) = await works.backend.get([plan.nodes[0].message.id])
    await works.backend.retract(plan.id, "two")
    (after, *_) = await works.backend.get([plan.nodes[0].message.id])

    assert still is not None
    assert after is None


@pytest.mark.parametrize("keeper", ["one", "two"])
async def test_what_is_open_cannot_be_taken_back(works: Works, keeper: str) -> None:
    plan = mine(works)
    await works.backend.plan(written(plan, "one"))
    await works.open(plan)
    await works.backend.plan(written(plan, "two"))
    await works.backend.retract(plan.id, keeper)

    assert await ran(works) == ["a", "b", "last"]
    assert await works.value(plan.joins[0].id) == ["a", "b"]


async def test_who_was_refused_with_another_workflow_takes_nothing_back(works: Works) -> None:
    plan, other = mine(works), works.compiled(chain(C, D), id=works.queue)
    await works.backend.plan(written(plan, "one"))
    await works.backend.plan(written(other, "two", "other"))
    await works.backend.retract(plan.id, "two")

    assert await works.open(plan)
    assert await ran(works) == ["a", "b", "last"]


async def test_large_workflow_goes_whole(works: Works) -> None:
    plan = works.compiled(many(*[A] * 1_200), id=works.queue)
    for page in pages(plan, "one"):
        await works.backend.plan(Page(page.nodes, page.joins, page.scopes, "mine", "one"))
    await works.backend.retract(plan.id, "one")
    await works.maintain()
    await works.backend.plan(written(mine(works), "two", "other"))
    await works.open(mine(works))

    assert await ran(works) == ["a", "b", "last"]
    assert await works.backend.get([plan.nodes[-1].message.id]) == [None]


async def test_who_waits_for_a_node_is_told_that_it_is_gone(works: Works) -> None:
    plan = mine(works)
    await works.backend.plan(written(plan, "one"))
    waiting = await under_way(works.backend.wait(plan.nodes[0].message.id, timeout=600))
    await works.backend.retract(plan.id, "one")

    assert await passing(works.clock, waiting) is None


async def test_unknown_workflow_is_nothing(works: Works) -> None:
    await works.backend.retract(works.queue, "one")

    assert await works.backend.workflow(works.queue) is None

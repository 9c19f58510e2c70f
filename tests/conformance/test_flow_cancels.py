"""Cancels of what has not come up yet, and of groups: over one store and over two."""

from __future__ import annotations

import pytest

from aioqueue import Signature, chain, chord
from aioqueue.models.state import CancelOutcome, State
from aioqueue.protocols.flow import PAGE
from tests.support.counting import counts
from tests.support.flows import Works, many
from tests.support.waiting import passing, under_way

pytestmark = pytest.mark.anyio

A, B, C, TOLD = (Signature(name=name, takes="none") for name in ("a", "b", "c", "told"))
M, N, NEXT, LAST = (Signature(name=name) for name in ("m", "n", "next", "last"))
CANCELLED = CancelOutcome.CANCELLED


async def cancel(works: Works, *ids: str) -> list[CancelOutcome]:
    return list(await works.submitter.cancel(ids, ttl=60.0))


async def cancel_nodes(works: Works, nodes: dict[str, str], *names: str) -> None:
    assert await cancel(works, *(nodes[name] for name in names)) == [CANCELLED] * len(names)


@pytest.mark.parametrize("good", [True, False])
async def test_member_cancelled_before_its_turn_is_an_error_in_its_turn(works: Works, good: bool) -> None:
    whole = chain(A, chord(many(M, N), LAST, errors="collect")).options(on_error=[TOLD])
    plan = await works.send(whole)
    nodes = works.nodes(plan)
    await cancel_nodes(works, nodes, "m", "n")
    async with works.crew() as crew:
        delivery = (await crew.take())["a"]
        before = await works.states(plan)
        await (crew.end(delivery) if good else crew.fail(delivery))
        ran = await crew.run()

    assert (before["m"], before["n"], before["last"]) == (State.CANCELLED, State.CANCELLED, State.PENDING)
    assert ran == (["last"] if good else ["told"])
    record = await works.record(plan.result)
    assert record.state is (State.SUCCESS if good else State.FAILURE)
    assert await works.value(plan.joins[1].id) == (
        [("m was cancelled",), ("n was cancelled",)] if good else [..., ...]
    )


async def test_group_whose_members_are_all_cancelled_ends_in_its_turn(works: Works) -> None:
    plan = await works.send(chain(A, many(M, N)))
    nodes = works.nodes(plan)
    await cancel_nodes(works, nodes, "m", "n")
    async with works.crew() as crew:
        taken = await crew.take()
        before = await works.record(plan.result)
        await crew.end(taken["a"])
        ran = await crew.run()

    assert (before.state, ran) == (State.PENDING, [])
    assert (await works.record(plan.result)).state is State.SUCCESS
    assert await works.value(plan.result) == [("m was cancelled",), ("n was cancelled",)]


async def test_member_of_several_steps_is_an_error_in_its_turn_whichever_is_cancelled(works: Works) -> None:
    inner = chain(M, N).options(on_error=[TOLD])
    plan = await works.send(chain(A, many(chain(inner, LAST), B)))
    nodes = works.nodes(plan)
    await cancel_nodes(works, nodes, "n")
    await cancel_nodes(works, nodes, "b")
    async with works.crew() as crew:
        taken = await crew.take()
        before, states = await works.record(plan.result), await works.states(plan)
        await crew.end(taken["a"])
        await crew.end(taken["told"])
        rest = await crew.run()

    assert (sorted(taken), before.state, rest) == (["a", "told"], State.PENDING, [])
    assert (states["m"], states["n"], states["last"]) == (State.CANCELLED, State.CANCELLED, State.FAILURE)
    assert await works.value(plan.result) == [("n was cancelled",), ("b was cancelled",)]


async def test_later_step_of_a_member_that_runs_is_an_error_at_once(works: Works) -> None:
    plan = await works.send(many(chain(A, NEXT), B))
    nodes = works.nodes(plan)
    async with works.crew() as crew:
        taken = await crew.take()
        await cancel_nodes(works, nodes, "next")
        await crew.end(taken["b"])
        record = await works.record(plan.result)
        await crew.end(taken["a"])
        rest = await crew.run()

    assert (record.state, rest) == (State.SUCCESS, [])
    assert await works.value(plan.result) == [("next was cancelled",), "b"]


async def test_members_of_a_later_page_are_errors_in_their_turn(works: Works) -> None:
    wide = many(*(Signature(name=f"n{number}") for number in range(PAGE + 5)))
    plan = await works.send(chain(A, wide))
    nodes = works.nodes(plan)
    await cancel_nodes(works, nodes, "n0", f"n{PAGE}", f"n{PAGE + 4}")
    async with works.crew() as crew:
        ran = await crew.run()

    assert len(ran) == 1 + PAGE - 1 + 3
    assert (await works.record(plan.result)).state is State.SUCCESS
    values = await works.value(plan.result)
    assert [number for number, value in enumerate(values) if isinstance(value, tuple)] == [0, PAGE, PAGE + 4]


async def test_member_cancelled_while_all_before_it_is_cancelled_too_is_passed_over(works: Works) -> None:
    plan = await works.send(chain(A, chord(many(M), many(N, NEXT), errors="collect")))
    nodes = works.nodes(plan)
    await cancel_nodes(works, nodes, "m", "n", "next")
    async with works.crew() as crew:
        ran = await crew.run()

    assert ran == ["a"]
    assert (await works.record(plan.result)).state is State.SUCCESS
    assert await works.value(plan.result) == [("n was cancelled",), ("next was cancelled",)]


async def test_cancelled_group_stops_all_that_is_in_it(works: Works) -> None:
    plan = await works.send(many(A, B, C.options(delay=3_600)).options(on_error=[TOLD]))
    waiting = await under_way(works.backend.wait(plan.result, timeout=600))
    async with works.crew() as crew:
        taken = await crew.take()
        await crew.end(taken["a"])
        running = await under_way(works.backend.wait(taken["b"].message.id, timeout=600))
        assert await cancel(works, plan.result) == [CANCELLED]
        done = await crew.end(taken["b"])
        ran = await crew.run()
    told = [await passing(works.clock, each) for each in (waiting, running)]

    assert (done, ran) == (False, ["told"])
    assert [record and record.state for record in told] == [State.CANCELLED] * 2
    states = await works.states(plan)
    assert (states["a"], states["b"], states["c"]) == (State.SUCCESS, State.CANCELLED, State.CANCELLED)
    assert await cancel(works, plan.result, plan.id) == [CancelOutcome.ALREADY_DONE] * 2
    if works.one_step:
        assert (await counts(works.broker, works.queue)).delayed == 0


@pytest.mark.parametrize("begun", [True, False])
async def test_cancelled_group_among_members_is_one_error_in_its_turn(works: Works, begun: bool) -> None:
    plan = await works.send(chain(A, many(many(M, N), LAST)))
    nodes = works.nodes(plan)
    inner = next(join.id for join in plan.joins if join.shown and join.id != plan.result)
    async with works.crew() as crew:
        first = (await crew.take())["a"]
        if begun:
            await crew.end(first)
            await crew.end((await crew.take())["last"])
        else:
            await cancel_nodes(works, nodes, "last")
        assert await cancel(works, inner) == [CANCELLED]
        before = (await works.record(plan.result)).state
        if not begun:
            await crew.end(first)
        rest = await crew.run()

    assert (before, rest) == (State.SUCCESS if begun else State.PENDING, [])
    assert await works.value(plan.result) == [
        ("group was cancelled",),
        "last" if begun else ("last was cancelled",),
    ]
    states = await works.states(plan)
    assert (states["m"], states["n"]) == (State.CANCELLED, State.CANCELLED)


async def test_cancelled_group_in_which_nobody_stands_stops_nothing(works: Works) -> None:
    plan = await works.send(chain(A, many(many(), M)))
    inner = next(join.id for join in plan.joins if join.shown and join.size == 0)
    await cancel(works, inner)
    async with works.crew() as crew:
        ran = await crew.run()

    assert ran == ["a", "m"]
    assert (await works.record(plan.result)).state is State.SUCCESS


async def test_cancelled_group_of_callbacks_stops_them(works: Works) -> None:
    plan = await works.send(many(A).options(on_success=[many(M, N)]))
    group = next(join.id for join in plan.joins if join.shown and join.id != plan.result)
    async with works.crew() as crew:
        await crew.end((await crew.take())["a"])
        taken = await crew.take()
        assert await cancel(works, group) == [CANCELLED]
        done = await crew.end(taken["m"])

    assert (sorted(taken), done) == (["m", "n"], False)

"""Tasks that go on as a workflow: it ends them, over one store and over two."""

from __future__ import annotations

import pytest

from aioqueue import Signature, chain, chord, group
from aioqueue.models.state import State
from tests.support.flows import Works, calls, many, names_of
from tests.support.waiting import passing, under_way

pytestmark = pytest.mark.anyio

A, B, C, D, E = calls("abcde")
NEXT, LAST = (Signature(name=name) for name in ("next", "last"))
NOBODY = many()


async def test_task_stays_started_until_its_workflow_has_ended(works: Works) -> None:
    plan = await works.send(chain(A, NEXT))
    waiting = await under_way(works.backend.wait(plan.nodes[0].message.id, timeout=600))
    async with works.crew() as crew:
        delivery = (await crew.take())["a"]
        instead = await works.instead(delivery, chain(B, LAST))
        before = await crew.take()
        went_on = await crew.go_on(delivery, instead)
        (inner,) = await crew.take_all()
        meanwhile = await works.record(delivery.message.id)
        await crew.end(inner)
        rest = await crew.run()
    record = await passing(works.clock, waiting)

    assert (before, went_on, inner.message.name, rest) == ({}, True, "b", ["last", "next"])
    assert (meanwhile.state, meanwhile.plan) == (State.STARTED, instead.id)
    assert record is not None
    assert (record.state, record.value) == (State.SUCCESS, b'"last"')
    assert await works.value(plan.joins[0].id) == "last"
    assert (await works.record(plan.result)).state is State.SUCCESS


async def test_plain_task_goes_on_too(works: Works) -> None:
    plan = await works.send(A)
    async with works.crew() as crew:
        delivery = (await crew.take())["a"]
        await crew.go_on(delivery, await works.instead(delivery, B))
        assert await crew.run() == ["b"]

    record = await works.record(plan.result)
    assert (record.state, record.value) == (State.SUCCESS, b'"b"')


async def test_values_of_a_group_are_the_tasks_value(works: Works) -> None:
    plan = await works.send(chain(A, NEXT))
    async with works.crew() as crew:
        delivery = (await crew.take())["a"]
        await crew.go_on(delivery, await works.instead(delivery, many(B, many(C, D))))
        taken = await crew.take()
        for name in "dcb":
            await crew.end(taken[name])
        (following,) = await crew.take_all()
        joined = (await works.record(delivery.message.id)).joined

        assert following.message.name == "next"
        assert joined is not None
        assert await works.value(joined) == ["b", ["c", "d"]]
        assert await works.value(plan.joins[0].id) == ["b", ["c", "d"]]
        await crew.end(following)


@pytest.mark.parametrize("empty", [NOBODY, many(NOBODY, NOBODY)], ids=["one", "of two"])
async def test_empty_group_ends_the_task_at_once(works: Works, empty: Signature) -> None:
    plan = await works.send(chain(A, NEXT))
    async with works.crew() as crew:
        delivery = (await crew.take())["a"]
        await crew.go_on(delivery, await works.instead(delivery, empty))
        record = await works.record(delivery.message.id)
        value = await works.value(plan.joins[0].id)
        assert await crew.run() == ["next"]

    assert record.state is State.SUCCESS
    assert value == ([] if empty is NOBODY else [[], []])


async def test_failure_inside_is_the_tasks_and_goes_outward(works: Works) -> None:
    plan = await works.send(chord(many(A, E), LAST).options(on_error=[C]))
    async with works.crew() as crew:
        taken = await crew.take()
        await crew.go_on(taken["a"], await works.instead(taken["a"], chain(B, NEXT)))
        (inner,) = await crew.take_all()
        await crew.fail(inner, "boom")
        told = await crew.take()
        late = await crew.end(taken["e"])

    assert list(told) == ["c"]
    assert await works.error(plan.nodes[0].message.id) == "boom"
    assert await works.error(plan.result) == "boom"
    assert late
    assert (await works.states(plan))["last"] is State.FAILURE


async def test_error_is_a_value_where_errors_are_collected(works: Works) -> None:
    plan = await works.send(chord(many(A, E), LAST, errors="collect"))
    async with works.crew() as crew:
        taken = await crew.take()
        await crew.go_on(taken["a"], await works.instead(taken["a"], B))
        await crew.end(taken["e"])
        (inner,) = await crew.take_all()
        await crew.fail(inner, "boom")
        (callback,) = await crew.take_all()
        value = await works.value(plan.joins[0].id)
        await crew.end(callback)

    assert value == [("boom",), "e"]


async def test_callbacks_of_the_task_are_released_by_its_workflow(works: Works) -> None:
    await works.send(group([A, B]))
    async with works.crew() as crew:
        taken = await crew.take()
        for name in "ab":
            instead = await works.instead(taken[name], C, on_success=(NEXT,), on_error=(LAST,))
            await crew.go_on(taken[name], instead)
        good, bad = await crew.take_all()
        await crew.end(good)
        following = await crew.take()
        await crew.fail(bad, "boom")
        told = await crew.take()
        source = told["last"].message.body.decode().removeprefix("error:")

    assert (list(following), list(told)) == (["next"], ["last"])
    assert await works.value(following["next"].message.body.decode()) == "c"
    fault = await works.backend.fault(source)
    assert fault is not None
    assert b"boom" in fault


async def test_task_goes_on_as_one_that_goes_on(works: Works) -> None:
    plan = await works.send(chain(A, NEXT))
    async with works.crew() as crew:
        for name in "abc":
            (delivery,) = await crew.take_all()
            instead = await works.instead(delivery, Signature(name=chr(ord(name) + 1), takes="none"))
            await crew.go_on(delivery, instead)
        assert await crew.run() == ["d", "next"]

    assert await works.value(plan.joins[0].id) in ("d", None)
    record = await works.record(plan.nodes[0].message.id)
    assert (record.state, record.value) == (State.SUCCESS, b'"d"')


async def test_it_goes_on_once_however_often_that_is_said(works: Works) -> None:
    plan = await works.send(A)
    async with works.crew() as crew, works.crew() as other:
        delivery = (await crew.take())["a"]
        instead = await works.instead(delivery, B)
        assert await crew.go_on(delivery, instead)
        assert await crew.go_on(delivery, instead)
        assert not await other.go_on(delivery, instead)
        assert await crew.run() == ["b"]

    assert (await works.record(plan.result)).value == b'"b"'


async def test_it_may_be_said_again_when_the_workflow_has_ended(works: Works) -> None:
    plan = await works.send(chain(A, NEXT))
    async with works.crew() as crew:
        delivery = (await crew.take())["a"]
        instead = await works.instead(delivery, NOBODY)
        said = [await crew.go_on(delivery, instead) for _ in range(2)]
        ran = await crew.run()
        said.append(await crew.go_on(delivery, instead))
        ran += await crew.run()

    assert (said, ran) == ([True] * 3, ["next"])
    assert (await works.record(plan.result)).state is State.SUCCESS


async def test_holder_may_die_once_its_task_went_on(works: Works) -> None:
    plan = await works.send(chain(A, NEXT))
    async with works.crew(lease=2.0) as mortal, works.crew() as heir:
        delivery = (await mortal.take())["a"]
        await mortal.go_on(delivery, await works.instead(delivery, B))
        await works.clock.advance(2.2)
        await works.maintain()
        assert await heir.run() == ["b", "next"]

    assert (await works.record(plan.nodes[0].message.id)).losses == 0


async def test_workflow_is_planned_again_by_the_next_attempt_under_its_own_ids(works: Works) -> None:
    plan = await works.send(A)
    async with works.crew(lease=2.0) as mortal, works.crew() as heir:
        delivery = (await mortal.take())["a"]
        first = await works.instead(delivery, B)
        await works.clock.advance(2.2)
        await works.maintain()
        delivery = (await heir.take())["a"]
        again = await works.instead(delivery, B)
        await heir.go_on(delivery, again)
        assert await heir.run() == ["b"]

    assert again.id == first.id
    assert (await works.record(plan.result)).value == b'"b"'


async def test_what_runs_in_place_of_a_step_stops_with_what_is_around(works: Works) -> None:
    plan = await works.send(chord(many(A, B), LAST))
    async with works.crew() as crew:
        taken = await crew.take()
        instead = await works.instead(taken["a"], chain(C, NEXT))
        await crew.go_on(taken["a"], instead)
        (inner,) = await crew.take_all()
        waiting = await under_way(works.backend.wait(taken["a"].message.id, timeout=600))
        await crew.fail(taken["b"], "boom")
        task = await passing(works.clock, waiting)
        await crew.end(inner)
        following = await crew.take()

    assert following == {}
    assert task is not None
    assert (task.state, (await works.states(plan))["a"]) == (State.CANCELLED, State.CANCELLED)
    assert (await works.states(instead))["next"] is State.CANCELLED
    assert await works.error(plan.result) == "boom"


async def test_what_runs_in_place_of_a_stopped_step_ends_it_no_more(works: Works) -> None:
    plan = await works.send(chord(many(A, B), LAST))
    async with works.crew() as crew:
        taken = await crew.take()
        await crew.go_on(taken["a"], await works.instead(taken["a"], C))
        (inner,) = await crew.take_all()
        await crew.fail(taken["b"], "boom")
        assert await crew.end(inner)
        assert await crew.run() == []

    states = await works.states(plan)
    assert (states["a"], states["last"]) == (State.CANCELLED, State.FAILURE)


async def test_forgotten_task_that_went_on_shows_nothing(works: Works) -> None:
    plan = await works.send(A)
    async with works.crew() as crew:
        delivery = (await crew.take())["a"]
        await crew.go_on(delivery, await works.instead(delivery, B))
        await works.backend.forget([plan.result])
        assert await crew.run() == ["b"]

    assert await works.backend.get([plan.result]) == [None]


async def test_workflow_is_known_by_its_id_once_it_was_opened(works: Works) -> None:
    plan = works.compiled(chain(A, many(B, C)))
    await works.keep(plan)
    before = await works.backend.workflow(plan.id)
    started = await works.open(plan), await works.open(plan)
    found = await works.backend.workflow(plan.id)

    assert before is None
    assert started == (True, False)
    assert found is not None
    assert (found.result, found.outline) == (plan.result, b'[["chain",0,["group","1-2"]]]')
    assert await works.backend.workflow("nobody") is None


async def test_task_of_that_id_keeps_a_node_from_being_planned(works: Works) -> None:
    plan = works.compiled(many(A, B))
    own = plan.nodes[1].message
    await works.submitter.submit([own])

    foreign = [id for page in works.pages(plan) for id in await works.backend.plan(page)]

    assert foreign == [own.id]


async def test_error_is_kept_for_who_is_told_whatever_becomes_of_the_record(works: Works) -> None:
    plan = await works.send(chain(A, NEXT).options(on_error=[LAST]))
    async with works.crew() as crew:
        await crew.fail((await crew.take())["a"], "boom", ttl=0.0)
        (told,) = await crew.take_all()
        await works.backend.forget([plan.result])
        fault = await works.backend.fault(told.message.body.decode().removeprefix("error:"))

    assert names_of([told]) == ["last"]
    assert fault is not None
    assert b"boom" in fault
    assert await works.backend.fault(plan.result) is None

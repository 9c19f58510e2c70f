"""Workflows in which something fails: what a scope decides, once, over one store and over two."""

from __future__ import annotations

import asyncio

import pytest

from aioqueue import Signature, chain, chord
from aioqueue.models.state import State
from aioqueue.protocols.flow import OPEN, PAGE
from aioqueue.protocols.messages import Verdict
from tests.support.counting import counts
from tests.support.flows import Works, ended, failure, many, retry_of
from tests.support.waiting import passing, ready, under_way

pytestmark = pytest.mark.anyio

A, B, C, D, TOLD, OTHER = (
    Signature(name=name, takes="none") for name in ("a", "b", "c", "d", "told", "other")
)
NEXT, LAST = (Signature(name=name) for name in ("next", "last"))


async def test_failed_step_decides_its_chain(works: Works) -> None:
    plan = await works.send(chain(A, NEXT, LAST))
    waiting = [await under_way(works.backend.wait(node.message.id, timeout=600)) for node in plan.nodes[1:]]
    async with works.crew() as crew:
        await crew.fail((await crew.take())["a"], "boom")
        following = await crew.take()
    told = [await passing(works.clock, each) for each in waiting]

    assert following == {}
    assert [record and record.state for record in told] == [State.CANCELLED, State.FAILURE]
    assert await works.states(plan) == {
        "a": State.FAILURE,
        "next": State.CANCELLED,
        "last": State.FAILURE,
    }
    assert await works.error(plan.result) == "boom"
    assert (await works.record(plan.result)).finished == pytest.approx(works.clock.time(), abs=3)


@pytest.mark.parametrize("state", [State.FAILURE, State.EXPIRED, State.CANCELLED])
async def test_whatever_ends_a_node_but_success_decides_its_chain(works: Works, state: State) -> None:
    plan = await works.send(chain(A, NEXT))
    async with works.crew() as crew:
        await crew.end((await crew.take())["a"], state)
        following = await crew.take()

    assert following == {}
    assert (await works.record(plan.result)).state is State.FAILURE
    assert "a" in await works.error(plan.result)


async def test_node_that_is_buried_decides_its_chain(works: Works) -> None:
    plan = await works.send(chain(A, NEXT))
    async with works.crew() as crew:
        await crew.fail((await crew.take())["a"], "unreadable", dead="unreadable")

    assert (await counts(works.broker, works.queue)).dead == 1
    assert await works.error(plan.result) == "unreadable"


async def test_errors_of_a_chain_are_told_once(works: Works) -> None:
    whole = chain(many(A, B).options(on_error=[TOLD]), LAST).options(on_error=[OTHER])
    plan = await works.send(whole)
    async with works.crew() as crew:
        taken = await crew.take()
        await crew.fail(taken["a"], "first")
        await crew.fail(taken["b"], "second")
        ran = await crew.run()

    assert sorted(ran) == ["other", "told"]
    assert await works.error(plan.result) == "first"
    assert await works.error(plan.nodes[1].message.id) == "second"


async def test_first_failure_of_a_chord_ends_it(works: Works) -> None:
    plan = await works.send(chord(many(A, B, C.options(delay=1)), LAST).options(on_error=[TOLD]))
    async with works.crew() as crew:
        taken = await crew.take()
        waiting = await under_way(works.backend.wait(plan.nodes[2].message.id, timeout=600))
        await crew.fail(taken["a"], "boom")
        cancelled = await passing(works.clock, waiting, seconds=0.9, step=0.05)
        await works.clock.advance(1.1)
        following = await crew.take()
        done = await crew.end(taken["b"])
        await crew.end(following["told"])
        rest = await crew.take()
    states = await works.states(plan)

    assert cancelled is not None
    assert (cancelled.state, cancelled.due) == (State.CANCELLED, None)
    assert cancelled.finished == pytest.approx(works.clock.time(), abs=5)
    assert (list(following), done, rest) == (["told"], True, {})
    assert states == {
        "a": State.FAILURE,
        "b": State.SUCCESS,
        "c": State.CANCELLED,
        "last": State.FAILURE,
        "told": State.SUCCESS,
    }
    assert (await counts(works.broker, works.queue)).delayed == 0


async def test_late_member_of_a_failed_chord_joins_nothing(works: Works) -> None:
    plan = await works.send(chord(many(A, B), LAST))
    async with works.crew() as crew:
        taken = await crew.take()
        await crew.fail(taken["a"])
        done = await crew.end(taken["b"], value=b"1")

    (record,) = await works.backend.get([taken["b"].message.id])
    assert done
    assert record is not None
    assert (record.state, record.value) == (State.SUCCESS, b"1")
    assert await works.value(plan.joins[0].id) == [..., ...]


async def test_two_members_that_fail_at_once_are_told_once(works: Works) -> None:
    for _ in range(5):
        await works.send(chord(many(A, B), LAST).options(on_error=[TOLD]))
        async with works.crew(prefetch=1) as one, works.crew(prefetch=1) as other:
            (first,), (second,) = await one.take_all(), await other.take_all()
            done = await asyncio.gather(one.fail(first), other.fail(second))
        async with works.crew() as crew:
            ran = await crew.run()

        assert all(done)
        assert ran == ["told"]


async def test_failure_and_success_in_one_batch_are_each_counted(works: Works) -> None:
    plan = await works.send(chord(many(A, B, C), LAST).options(on_error=[TOLD]))
    async with works.crew() as crew:
        batch = await crew.take_all()
        states = (State.SUCCESS, State.FAILURE, State.FAILURE)
        endings = [
            ended(delivery, state, error=failure(delivery.message.name) if state is State.FAILURE else None)
            for delivery, state in zip(batch, states, strict=True)
        ]
        done = await crew.finisher.finish(endings)
        ran = await crew.run()

    assert list(done) == [True] * 3
    assert ran == ["told"]
    assert await works.error(plan.result) == batch[1].message.name


async def test_chord_that_collects_gets_errors_as_values(works: Works) -> None:
    plan = await works.send(chord(many(A, chain(B, NEXT), C), LAST, errors="collect"))
    async with works.crew() as crew:
        taken = await crew.take()
        await crew.fail(taken["a"], "no a")
        await crew.fail(taken["b"], "no b")
        await crew.end(taken["c"])
        following = await crew.take()

    assert list(following) == ["last"]
    assert await works.value(plan.joins[0].id) == [("no a",), ("no b",), "c"]
    assert (await works.states(plan))["next"] is State.FAILURE


async def test_plain_group_ends_when_all_have_ended(works: Works) -> None:
    plan = await works.send(many(A, chain(B, NEXT, LAST), C))
    async with works.crew() as crew:
        taken = await crew.take()
        await crew.fail(taken["b"], "no b")
        await crew.end(taken["a"])
        before = await works.record(plan.result)
        await crew.fail(taken["c"], "no c")
    after = await works.record(plan.result)

    assert (before.state, after.state) == (State.PENDING, State.SUCCESS)
    assert await works.value(plan.result) == ["a", ("no b",), ("no c",)]
    assert await works.states(plan) == {
        "a": State.SUCCESS,
        "b": State.FAILURE,
        "c": State.FAILURE,
        "next": State.CANCELLED,
        "last": State.FAILURE,
    }


async def test_failure_within_goes_up_to_whoever_takes_it(works: Works) -> None:
    inner = chord(many(A, B), NEXT).options(on_error=[TOLD])
    plan = await works.send(many(chain(inner, LAST).options(on_error=[OTHER]), C))
    async with works.crew() as crew:
        taken = await crew.take()
        await crew.fail(taken["a"], "deep")
        ran = await crew.run()

    assert sorted(ran) == ["other", "told"]
    assert await works.error(next(n.message.id for n in plan.nodes if n.message.name == "last")) == "deep"
    assert await works.error(next(n.message.id for n in plan.nodes if n.message.name == "next")) == "deep"
    assert await works.value(plan.result) == [("deep",), ...]


async def test_what_lies_in_a_closed_scope_does_not_start_however_deep(works: Works) -> None:
    plan = await works.send(
        chord(many(A, chain(B, chord(many(C, D), NEXT).options(headers={"deep": "1"}))), LAST)
    )
    async with works.crew() as crew:
        taken = await crew.take()
        await crew.end(taken["b"])
        await crew.fail(taken["a"], "no")
        following = await crew.take()
    states = await works.states(plan)

    assert following == {}
    assert (states["c"], states["d"], states["next"]) == (State.CANCELLED,) * 3
    assert (await counts(works.broker, works.queue)).ready == 0


async def test_group_in_a_closed_scope_is_not_awaited_for_ever(works: Works) -> None:
    plan = await works.send(chord(many(A, chain(B, many(C, D)).options(headers={"a": "b"})), LAST))
    inner = next(scope.fails for scope in plan.scopes if scope.fails in {join.id for join in plan.joins})
    waiting = await under_way(works.backend.wait(inner or "", timeout=600))
    async with works.crew() as crew:
        await crew.fail((await crew.take())["a"])
    record = await passing(works.clock, waiting)

    assert record is not None
    assert record.state is State.CANCELLED


async def test_released_node_that_has_not_started_is_dropped_with_its_record_cancelled(works: Works) -> None:
    plan = await works.send(chord(many(A, B), LAST))
    async with works.crew(prefetch=1) as one:
        (first,) = await one.take_all()
        await one.fail(first)
    async with works.crew() as crew:
        raw = await ready(crew.consumer)
        starts = await crew.finisher.begin(raw)

    assert [start.verdict for start in starts] == ([] if works.one_step else [Verdict.COMMITTED])
    assert [start.follow for start in starts] == ([] if works.one_step else [()])
    assert (await works.states(plan))["b"] is State.CANCELLED
    assert (await counts(works.broker, works.queue)).ready == 0


async def test_retry_in_a_closed_scope_does_not_start(works: Works) -> None:
    plan = await works.send(chord(many(A, B), LAST))
    async with works.crew() as crew:
        taken = await crew.take()
        retry = retry_of(taken["b"])
        await crew.end(taken["b"], State.RETRY, follow=(retry,), next_at=works.clock.time())
        await crew.fail(taken["a"])
        before = await works.states(plan)
        following = await crew.take()

    assert before["b"] is State.CANCELLED
    assert following == {}
    assert (await works.states(plan))["b"] is State.CANCELLED


async def test_node_given_back_in_a_closed_scope_does_not_start_again(works: Works) -> None:
    plan = await works.send(chord(many(A, B), LAST))
    async with works.crew() as crew:
        taken = await crew.take()
        await crew.fail(taken["a"])
        running = await works.states(plan)
        await crew.finisher.release([taken["b"]])
        following = await crew.take()

    assert running["b"] is State.STARTED
    assert following == {}
    assert (await works.states(plan))["b"] is State.CANCELLED


async def test_node_of_a_lost_worker_in_a_closed_scope_does_not_start_again(works: Works) -> None:
    plan = await works.send(chord(many(A, B), LAST))
    async with works.crew(lease=2.0, prefetch=1) as mortal, works.crew(prefetch=1) as crew:
        (lost,) = await mortal.take_all()
        (other,) = await crew.take_all()
        await crew.fail(other)
        await works.clock.advance(2.2)
        await works.maintain()
        following = await crew.take()
        late = await mortal.end(lost)

    assert (following, late) == ({}, False)
    assert (await works.states(plan))[lost.message.name] is State.CANCELLED


async def test_rest_of_a_wide_group_is_not_released_once_it_has_failed(works: Works) -> None:
    wide = many(*(Signature(name=f"n{number}") for number in range(PAGE + 5)))
    plan = await works.send(chord(wide, LAST))
    async with works.crew() as crew:
        taken = await crew.take()
        await crew.fail(taken["n3"], "boom")
        await crew.end(taken[OPEN])
        released = (await counts(works.broker, works.queue)).ready
        following = await crew.take()
        states = await works.states(plan)

    assert (released, following) == (0, {})
    assert [states[f"n{number}"] for number in (3, 4, PAGE, PAGE + 4)] == [
        State.FAILURE,
        State.STARTED,
        State.CANCELLED,
        State.CANCELLED,
    ]
    assert await works.error(plan.result) == "boom"


async def test_whole_with_callbacks_is_told_of_its_first_failure_or_its_success(works: Works) -> None:
    whole = many(A, B).options(on_error=[TOLD], on_success=[OTHER])
    bad, good = await works.send(whole), await works.send(whole)
    async with works.crew() as crew:
        deliveries = await crew.take_all()
        for delivery in deliveries:
            if delivery.message.id == bad.nodes[0].message.id:
                await crew.fail(delivery)
        for delivery in deliveries:
            if delivery.message.id != bad.nodes[0].message.id:
                await crew.end(delivery)
        ran = await crew.run()

    assert sorted(ran) == ["other", "told"]
    assert (await works.record(bad.result)).state is State.FAILURE
    assert (await works.record(good.result)).state is State.SUCCESS


async def test_second_end_of_a_failed_node_tells_nobody_again(works: Works) -> None:
    await works.send(chain(A, NEXT).options(on_error=[TOLD]))
    async with works.crew() as crew:
        first = (await crew.take())["a"]
        await crew.fail(first)
        again = await crew.fail(first)
        ran = await crew.run()
        late = await crew.fail(first)

    assert (again, late, ran) == (True, True, ["told"])


async def test_failed_workflow_that_is_kept_and_opened_again_runs_nothing(works: Works) -> None:
    plan = await works.send(chain(A, NEXT).options(on_error=[TOLD]))
    async with works.crew() as crew:
        await crew.fail((await crew.take())["a"], ttl=0)
        await crew.run()
        await works.keep(plan)
        await works.open(plan)
        ran = await crew.run()

    assert ran == []
    assert await works.backend.get([plan.result]) == [None]

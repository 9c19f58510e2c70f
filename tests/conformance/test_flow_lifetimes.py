"""How long what belongs to a workflow is kept, over one store and over two.

Where a service keeps the time, what would take days is looked at by the service's own tests.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from aioqueue import Signature, chain, chord
from aioqueue.models.state import State
from aioqueue.protocols.messages import OPEN_TTL
from tests.support.flows import Works, calls, failure, many, retry_of

pytestmark = [pytest.mark.anyio, pytest.mark.days]

A, B, C, D = calls("abcd")
NEXT, LAST = (Signature(name=name) for name in ("next", "last"))
HOUR = 3_600.0
BRIEF = 60.0


async def test_workflow_is_kept_thirty_days_before_it_begins(works: Works) -> None:
    plan = works.compiled(chain(A, NEXT))
    await works.keep(plan)
    await works.clock.advance(OPEN_TTL - 60)
    await works.maintain()
    await works.open(plan)

    async with works.crew() as crew:
        assert await crew.run() == ["a", "next"]


async def test_workflow_that_is_never_opened_goes_after_thirty_days(works: Works) -> None:
    plan = works.compiled(chain(many(A, B), LAST))
    await works.keep(plan)
    await works.clock.advance(OPEN_TTL + 60)
    await works.maintain()
    await works.open(plan)

    async with works.crew() as crew:
        assert await crew.run() == []
    assert await works.states(plan) == {"a": None, "b": None, "last": None}
    assert await works.value(plan.joins[0].id) is None


async def test_time_of_a_workflow_begins_when_it_is_due(works: Works) -> None:
    plan = await works.send(chain(A.options(delay=OPEN_TTL), NEXT))
    await works.clock.advance(OPEN_TTL + 60)
    await works.maintain()

    async with works.crew() as crew:
        assert await crew.run() == ["a", "next"]
    assert await works.states(plan) == {"a": State.SUCCESS, "next": State.SUCCESS}


async def test_each_step_begins_the_time_anew(works: Works) -> None:
    plan = await works.send(chord(many(A, B, C), LAST))
    for _ in range(3):
        await works.clock.advance(OPEN_TTL * 0.6)
        await works.maintain()
        async with works.crew(prefetch=1) as crew:
            (delivery,) = await crew.take_all()
            await crew.end(delivery)
    value = await works.value(plan.joins[0].id)

    async with works.crew() as crew:
        assert await crew.run() == ["last"]
    assert value == ["a", "b", "c"]


async def test_group_can_be_awaited_as_long_as_it_moves(works: Works) -> None:
    plan = await works.send(many(A, B))
    for _ in range(2):
        await works.clock.advance(OPEN_TTL * 0.6)
        await works.maintain()
        waiting = await works.record(plan.result)
        async with works.crew(prefetch=1) as crew:
            (delivery,) = await crew.take_all()
            await crew.end(delivery)

    assert waiting.state is State.PENDING
    assert (await works.record(plan.result)).state is State.SUCCESS


async def test_retry_that_is_far_away_keeps_its_workflow(works: Works) -> None:
    await works.send(chain(A, NEXT))
    async with works.crew() as crew:
        first = (await crew.take())["a"]
        due = works.clock.time() + OPEN_TTL * 1.5
        again = replace(retry_of(first), eta=due)
        await crew.end(first, State.RETRY, follow=(again,), next_at=due)
    await works.clock.advance(OPEN_TTL * 1.6)
    await works.maintain()

    async with works.crew() as crew:
        assert await crew.run() == ["a", "next"]


async def test_node_that_runs_for_long_keeps_its_workflow(works: Works) -> None:
    plan = await works.send(chain(A, NEXT))
    await works.clock.advance(OPEN_TTL * 0.9)
    async with works.crew(lease=OPEN_TTL) as crew:
        first = (await crew.take())["a"]
        await works.clock.advance(OPEN_TTL * 0.9)
        await works.maintain()
        done = await crew.end(first)
        ran = await crew.run()

    assert (done, ran) == (True, ["next"])
    assert (await works.record(plan.result)).state is State.SUCCESS


async def test_values_of_a_group_are_there_as_long_as_it_is_shown(works: Works) -> None:
    plan = await works.send(many(A, B))
    async with works.crew() as crew:
        taken = await crew.take()
        await crew.end(taken["a"], ttl=0)
        await crew.end(taken["b"], ttl=HOUR)
    await works.clock.advance(HOUR - 60)
    await works.maintain()
    shown, value = await works.record(plan.result), await works.value(plan.result)
    await works.clock.advance(120)
    await works.maintain()

    assert (shown.state, value) == (State.SUCCESS, ["a", "b"])
    assert await works.backend.get([plan.result]) == [None]
    assert await works.value(plan.result) is None


async def test_group_is_shown_as_long_as_its_last_member_asks_for(works: Works) -> None:
    plan = await works.send(many(A, B))
    async with works.crew() as crew:
        taken = await crew.take()
        await crew.end(taken["a"])
        await crew.end(taken["b"], ttl=HOUR * 3)
    await works.clock.advance(HOUR * 2)
    await works.maintain()

    assert (await works.record(plan.result)).state is State.SUCCESS
    assert await works.value(plan.result) == ["a", "b"]


async def test_failure_is_shown_as_long_as_the_node_asks_for(works: Works) -> None:
    plan = await works.send(chain(A, NEXT))
    async with works.crew() as crew:
        await crew.fail((await crew.take())["a"], ttl=HOUR * 3)
    await works.clock.advance(HOUR * 2)
    await works.maintain()
    before = await works.record(plan.result)
    await works.clock.advance(HOUR * 1.5)

    assert before.state is State.FAILURE
    assert await works.backend.get([plan.result]) == [None]


async def test_what_was_never_released_goes_with_its_workflow(works: Works) -> None:
    plan = await works.send(chain(A, NEXT).options(on_error=[LAST]))
    async with works.crew() as crew:
        await crew.run()
    never = next(node.message.id for node in plan.nodes if node.message.name == "last")
    before = await works.record(never)
    await works.clock.advance(HOUR + 60)
    await works.maintain()

    assert before.state is State.CANCELLED
    assert await works.backend.get([never]) == [None]


async def test_workflow_whose_time_is_over_may_be_sent_anew(works: Works) -> None:
    plan = await works.send(chain(A, NEXT))
    async with works.crew() as crew:
        await crew.run()
        # nobody has swept yet
        await works.clock.advance(OPEN_TTL * 2)
        await works.keep(plan)
        await works.open(plan)
    async with works.crew(lease=OPEN_TTL) as crew:
        assert await crew.run() == ["a", "next"]
    assert await works.value(plan.joins[0].id) == "a"


async def test_step_of_what_runs_in_place_of_a_node_keeps_what_is_around(works: Works) -> None:
    plan = await works.send(chain(A, NEXT))
    async with works.crew(lease=OPEN_TTL * 4) as crew:
        delivery = (await crew.take())["a"]
        await crew.go_on(delivery, await works.instead(delivery, chain(B, C, LAST)))
        for _ in range(3):
            await works.clock.advance(OPEN_TTL * 0.6)
            await works.maintain()
            (inner,) = await crew.take_all()
            await crew.end(inner)
        assert await crew.run() == ["next"]

    assert (await works.record(delivery.message.id)).value == b'"last"'
    assert (await works.record(plan.result)).state is State.SUCCESS


async def test_values_of_what_ran_in_place_of_a_node_are_kept_with_what_is_around(works: Works) -> None:
    plan = await works.send(chord(many(A, B), LAST))
    async with works.crew(lease=OPEN_TTL) as crew:
        taken = await crew.take()
        await crew.go_on(taken["a"], await works.instead(taken["a"], many(C, D)))
        for inner in await crew.take_all():
            await crew.end(inner)
        await works.clock.advance(HOUR * 30)
        await works.maintain()
        await crew.end(taken["b"])
        value = await works.value(plan.joins[0].id)
        assert await crew.run() == ["last"]

    assert value == [["c", "d"], "b"]


async def test_what_ran_in_place_of_a_node_goes_with_what_is_around(works: Works) -> None:
    await works.send(chain(A, NEXT))
    async with works.crew() as crew:
        delivery = (await crew.take())["a"]
        instead = await works.instead(delivery, many(B, C))
        await crew.go_on(delivery, instead)
        await crew.run()
        await works.clock.advance(OPEN_TTL)
        await works.maintain()

    assert await works.value(instead.joins[-1].id) is None
    assert await works.backend.workflow(instead.id) is None


@pytest.mark.parametrize("ttl", [0.0, BRIEF])
async def test_plain_group_goes_with_its_record(works: Works, ttl: float) -> None:
    plan = await works.send(many(A, B))
    async with works.crew() as crew:
        for delivery in (await crew.take()).values():
            await crew.end(delivery, ttl=ttl)
    if ttl > 0:
        assert await works.value(plan.result) == ["a", "b"]
    await works.clock.advance(ttl + 1)
    await works.maintain()

    assert await works.is_gone(plan)


async def test_member_that_may_not_start_is_shown_no_longer_than_the_failure(works: Works) -> None:
    plan = await works.send(chord(many(A, B), LAST))
    async with works.crew(prefetch=1) as crew:
        first = (await crew.take())["a"]
        await crew.fail(first, ttl=BRIEF)
        # the other one comes up, and is dropped
        assert await crew.take() == {}
    states = await works.states(plan)
    await works.clock.advance(BRIEF + 1)
    await works.maintain()

    assert states == {"a": State.FAILURE, "b": State.CANCELLED, "last": State.FAILURE}
    assert await works.is_gone(plan)


async def test_member_that_comes_up_when_the_failure_is_shown_no_more_is_dropped(works: Works) -> None:
    plan = await works.send(chord(many(A, B), LAST))
    async with works.crew(prefetch=1) as crew:
        await crew.fail((await crew.take())["a"], ttl=BRIEF)
    await works.clock.advance(BRIEF + 1)
    await works.maintain()
    async with works.crew() as crew:
        ran = await crew.run()

    assert ran == []
    assert await works.is_gone(plan)


async def test_cancelled_whole_is_kept_as_long_as_it_was_asked_for(works: Works) -> None:
    plan = await works.send(chain(many(A, B), LAST))
    await works.submitter.cancel([plan.id], ttl=BRIEF)
    async with works.crew() as crew:
        ran = await crew.run()
    await works.clock.advance(BRIEF - 1)
    await works.maintain()
    before = await works.record(plan.result), await works.backend.workflow(plan.id)
    await works.clock.advance(2)
    await works.maintain()

    assert ran == []
    assert before[0].state is State.CANCELLED
    assert before[1] is not None
    assert await works.is_gone(plan)


async def test_call_after_a_failure_finds_it_however_late(works: Works) -> None:
    plan = await works.send(chain(A, NEXT).options(on_error=[LAST]))
    async with works.crew() as crew:
        await crew.fail((await crew.take())["a"], ttl=0)
        await works.clock.advance(BRIEF)
        await works.maintain()
        told = (await crew.take())["last"]
        fault = await works.backend.fault(plan.scopes[0].id)
        await crew.end(told, ttl=BRIEF)
    await works.clock.advance(BRIEF + 1)
    await works.maintain()

    assert fault == failure("no")
    assert await works.is_gone(plan)


async def test_what_ran_in_place_of_a_task_goes_with_its_record(works: Works) -> None:
    plan = await works.send(chord(many(A), LAST))
    async with works.crew() as crew:
        delivery = (await crew.take())["a"]
        instead = await works.instead(delivery, many(B, C))
        await crew.go_on(delivery, instead)
        taken = await crew.take()
        for name in ("b", "c"):
            await works.clock.advance(BRIEF + 1)
            await works.maintain()
            await crew.end(taken[name], ttl=BRIEF)
        last = (await crew.take())["last"]
        await works.clock.advance(BRIEF + 1)
        await works.maintain()
        value = await works.value(plan.joins[0].id)
        await crew.end(last, ttl=BRIEF)
    await works.clock.advance(BRIEF + 1)
    await works.maintain()

    assert value == [["b", "c"]]
    assert await works.is_gone(plan)
    assert await works.is_gone(instead)


async def test_empty_group_is_shown_as_long_as_its_opening_says(works: Works) -> None:
    plan = replace(works.compiled(many()), ttl=BRIEF)
    await works.keep(plan)
    await works.open(plan)
    await works.clock.advance(BRIEF - 1)
    await works.maintain()
    shown = await works.record(plan.result), await works.value(plan.result)
    await works.open(plan)
    await works.clock.advance(2)
    await works.maintain()

    assert (shown[0].state, shown[1]) == (State.SUCCESS, [])
    assert await works.is_gone(plan)


async def test_retry_shows_nothing(works: Works) -> None:
    plan = await works.send(chain(A, NEXT))
    async with works.crew() as crew:
        first = (await crew.take())["a"]
        again = retry_of(first)
        await crew.end(first, State.RETRY, follow=(again,), next_at=works.clock.time(), ttl=HOUR)
        for name in ("a", "next"):
            await crew.end((await crew.take())[name], ttl=BRIEF)
    await works.clock.advance(BRIEF + 1)
    await works.maintain()

    assert await works.is_gone(plan)


async def test_group_that_was_never_full_goes_with_its_workflow(works: Works) -> None:
    inner = many(A, B).options(on_error=[NEXT])
    plan = await works.send(chord(many(inner, C), LAST))
    async with works.crew() as crew:
        running = await crew.take()
        await crew.end(running["a"], ttl=BRIEF)
        await crew.fail(running["c"], ttl=BRIEF)
        await crew.end(running["b"], ttl=BRIEF)
    states = [
        record and record.state
        for record in await works.backend.get([join.id for join in plan.joins if join.shown])
    ]
    await works.clock.advance(BRIEF + 1)
    await works.maintain()

    assert states == [State.CANCELLED]
    assert await works.is_gone(plan)


async def test_longest_shown_keeps_all_of_it(works: Works) -> None:
    plan = await works.send(many(A, B).options(on_success=[LAST]))
    async with works.crew() as crew:
        running = await crew.take()
        await crew.end(running["a"], ttl=BRIEF)
        await crew.end(running["b"], ttl=HOUR)
        await crew.end((await crew.take())["last"], ttl=BRIEF)
    await works.clock.advance(HOUR - 60)
    await works.maintain()
    shown = await works.record(plan.result), await works.value(plan.result)
    await works.clock.advance(120)
    await works.maintain()

    assert (shown[0].state, shown[1]) == (State.SUCCESS, ["a", "b"])
    assert await works.is_gone(plan)

"""Workflows that go well: what is released, when, and what can then be read, over one store and over two."""

from __future__ import annotations

import pytest

from aioqueue import Signature, chain, chord
from aioqueue.models.state import State
from aioqueue.protocols.flow import OPEN, PAGE, Join, Kind, Member, Node, Opening, Page, Place, Range
from aioqueue.protocols.messages import Message
from tests.support.flows import Works, calls, ended, many, names_of
from tests.support.waiting import passing, under_way

pytestmark = pytest.mark.anyio

A, B, C, D, E = calls("abcde")
NEXT, LAST = (Signature(name=name) for name in ("next", "last"))
NOBODY = many()


async def test_what_is_kept_can_be_seen_and_does_not_run(works: Works) -> None:
    plan = works.compiled(chain(many(A, B), NEXT))
    await works.keep(plan)

    async with works.crew() as crew:
        ran = await crew.run()
    waited = await works.backend.wait(plan.result, timeout=0)

    assert ran == []
    assert await works.states(plan) == {"a": State.PENDING, "b": State.PENDING, "next": State.PENDING}
    assert waited == await works.record(plan.result)


async def test_workflow_kept_by_halves_runs_nothing(works: Works) -> None:
    plan = works.compiled(many(*(Signature(name=f"n{number}") for number in range(PAGE + 1))))
    await works.backend.plan(Page(nodes=plan.nodes[:PAGE]))

    async with works.crew() as crew:
        assert await crew.run() == []


async def test_steps_of_a_chain_run_one_after_the_other(works: Works) -> None:
    plan = await works.send(chain(A, NEXT, LAST))
    waiting = await under_way(works.backend.wait(plan.result, timeout=600))
    seen: list[list[str]] = []

    async with works.crew() as crew:
        for name in ("a", "next", "last"):
            taken = await crew.take()
            seen.append(list(taken))
            await crew.end(taken[name])
        rest = await crew.take()
    record = await passing(works.clock, waiting)

    assert (seen, rest) == ([["a"], ["next"], ["last"]], {})
    assert record is not None
    assert (record.state, record.value) == (State.SUCCESS, b'"last"')


async def test_next_step_finds_the_value_of_the_one_before(works: Works) -> None:
    plan = await works.send(chain(A, NEXT))

    async with works.crew() as crew:
        await crew.run()

    (join,) = plan.joins
    assert plan.nodes[1].message.body == join.id.encode()
    assert await works.value(join.id) == "a"


async def test_success_without_a_value_joins_as_null(works: Works) -> None:
    plan = await works.send(chain(A, NEXT))

    async with works.crew() as crew:
        await crew.end((await crew.take())["a"], value=None)

    found = await works.backend.members(plan.joins[0].id, 0, 1)
    assert found is not None
    assert found.members == (Member(Kind.VALUE, b"null"),)


@pytest.mark.parametrize("ttl", [0.0, 60.0])
async def test_value_is_joined_whatever_the_nodes_own_time(works: Works, ttl: float) -> None:
    plan = await works.send(chain(A, NEXT))

    async with works.crew() as crew:
        await crew.end((await crew.take())["a"], ttl=ttl)
        following = await crew.take()
    await works.backend.forget([plan.nodes[0].message.id])

    assert list(following) == ["next"]
    assert await works.value(plan.joins[0].id) == "a"


async def test_callback_of_a_group_is_released_by_its_last_member(works: Works) -> None:
    plan = await works.send(chord(many(A, B, C), LAST))

    async with works.crew() as crew:
        taken = await crew.take()
        for name in ("c", "a"):
            await crew.end(taken[name])
        early = await crew.take()
        partial = await works.value(plan.joins[0].id)
        await crew.end(taken["b"])
        following = await crew.take()

    assert (early, partial) == ({}, ["a", ..., "c"])
    assert list(following) == ["last"]
    assert await works.value(plan.joins[0].id) == ["a", "b", "c"]


async def test_group_is_shown_as_success_once_all_have_ended(works: Works) -> None:
    plan = await works.send(many(A, B))
    waiting = await under_way(works.backend.wait(plan.result, timeout=600))
    async with works.crew() as crew:
        taken = await crew.take()
        await crew.end(taken["a"])
        before = await works.record(plan.result)
        await crew.end(taken["b"])
    record = await passing(works.clock, waiting)

    assert before.state is State.PENDING
    assert record is not None
    assert (record.state, record.value, record.error) == (State.SUCCESS, None, None)
    assert record.finished == pytest.approx(works.clock.time(), abs=2)
    assert await works.value(plan.result) == ["a", "b"]


async def test_members_are_read_in_pages(works: Works) -> None:
    plan = await works.send(many(A, B, C))
    async with works.crew() as crew:
        await crew.run()

    read = [await works.backend.members(plan.result, first, 2) for first in (0, 2, 3)]

    assert [found and (found.size, found.single) for found in read] == [(3, False)] * 3
    assert [[m and m.data for m in found.members] for found in read if found] == [
        [b'"a"', b'"b"'],
        [b'"c"'],
        [],
    ]
    assert await works.backend.members("nobody", 0, 1) is None
    assert await works.backend.members(f"{plan.id}.999", 0, 1) is None


async def test_wide_group_is_released_page_by_page(works: Works) -> None:
    names = [f"n{number}" for number in range(2 * PAGE + 10)]
    plan = await works.send(chord(many(*(Signature(name=name) for name in names)), LAST))
    pages: list[int] = []

    async with works.crew() as crew:
        while batch := await crew.take_all():
            pages.append(len(batch))
            opening = [d for d in batch if d.message.name == OPEN]
            assert len(opening) <= 1
            assert [d.message.id for d in opening] in ([], [f"{plan.id}.open.{len(pages) * PAGE}"])
            if names_of(batch) != ["last"]:
                pages[-1] -= len(opening)
            await crew.finisher.finish([ended(delivery) for delivery in batch])

    assert pages == [PAGE, PAGE, 10, 1]
    assert await works.value(plan.joins[0].id) == names


async def test_group_of_a_thousand_calls_back_once(works: Works) -> None:
    names = [f"n{number}" for number in range(1_000)]
    plan = await works.send(chord(many(*(Signature(name=name) for name in names)), LAST))

    async with works.crew() as crew:
        ran = await crew.run()

    assert sorted(ran) == sorted([*names, "last"])
    assert await works.value(plan.joins[0].id) == names
    assert (await works.record(plan.result)).state is State.SUCCESS


async def test_callback_over_nobody_starts_at_once(works: Works) -> None:
    plan = await works.send(chord(NOBODY, LAST))

    async with works.crew() as crew:
        assert await crew.run() == ["last"]
    assert await works.value(plan.joins[0].id) == []


async def test_empty_group_is_a_success_at_once(works: Works) -> None:
    plan = await works.send(NOBODY)

    assert (await works.record(plan.result)).state is State.SUCCESS
    assert await works.value(plan.result) == []


async def test_group_in_which_nobody_stands_is_full_from_the_start(works: Works) -> None:
    plan = await works.send(many(NOBODY, A))
    async with works.crew() as crew:
        await crew.run()

    assert (await works.record(plan.result)).state is State.SUCCESS
    assert await works.value(plan.result) == [[], "a"]


async def test_nobody_at_the_end_is_full_when_it_is_reached(works: Works) -> None:
    plan = await works.send(chain(A, NOBODY))
    before = await works.record(plan.result)
    async with works.crew() as crew:
        await crew.run()

    assert before.state is State.PENDING
    assert (await works.record(plan.result)).state is State.SUCCESS
    assert await works.value(plan.result) == []


async def test_groups_within_groups_come_to_lists_within_lists(works: Works) -> None:
    plan = await works.send(many(many(A, B), chain(C, NEXT), many(D)))

    async with works.crew() as crew:
        ran = await crew.run()

    assert sorted(ran) == ["a", "b", "c", "d", "next"]
    assert await works.value(plan.result) == [["a", "b"], "next", ["d"]]


async def test_chain_of_groups_runs_each_once(works: Works) -> None:
    plan = await works.send(chain(many(A, B), many(C, D), LAST))

    async with works.crew() as crew:
        ran = await crew.run()

    assert (sorted(ran[:2]), sorted(ran[2:4]), ran[4:]) == (["a", "b"], ["c", "d"], ["last"])
    assert (await works.record(plan.result)).value == b'"last"'


async def test_values_nobody_reads_any_more_are_dropped(works: Works) -> None:
    plan = await works.send(chain(many(many(A, B), C), NEXT, LAST))
    async with works.crew() as crew:
        for _ in range(2):
            for delivery in await crew.take_all():
                await crew.end(delivery)
        kept = [await works.value(join.id) for join in plan.joins if join.frees is not None]
        await crew.run()

    freed = {join.frees for join in plan.joins if join.frees is not None}
    assert kept == ["next"]
    assert [await works.value(id) for id in freed] == [None]


async def test_values_of_many_are_dropped_too(works: Works) -> None:
    wide = many(*(Signature(name=f"n{number}") for number in range(3 * PAGE)))
    plan = await works.send(chain(wide, NEXT, LAST))
    async with works.crew() as crew:
        await crew.run()
    await works.maintain()

    (freed,) = {join.frees for join in plan.joins if join.frees is not None}
    assert await works.value(freed) is None
    assert (await works.record(plan.result)).state is State.SUCCESS


async def test_pause_of_a_node_begins_when_it_is_released(works: Works) -> None:
    plan = await works.send(chain(A, NEXT.options(delay=2)))
    await works.clock.advance(1)
    async with works.crew() as crew:
        await crew.end((await crew.take())["a"])
        released = works.clock.time()
        early = await crew.take()
        record = await works.record(plan.result)
        await works.clock.advance(2.1)
        following = await crew.take()

    assert early == {}
    assert record.state is State.PENDING
    assert record.due == pytest.approx(released + 2, abs=1)
    assert list(following) == ["next"]


async def test_own_callbacks_of_a_node_and_what_comes_after_it_both_run(works: Works) -> None:
    await works.send(chain(A, NEXT))
    async with works.crew() as crew:
        first = (await crew.take())["a"]
        own = Message(f"{first.message.id}.s0", "own", works.queue, b"")
        await crew.end(first, follow=(own,))
        assert sorted(await crew.run()) == ["next", "own"]


async def test_join_that_is_no_part_of_a_list_is_single(works: Works) -> None:
    id = works.queue
    message = Message(f"{id}.0", "a", works.queue, b"")
    join = Join(f"{id}.1", 1, single=True, shown=True)
    await works.backend.plan(Page((Node(message, Place(join.id, 0)),), (join,)))
    await works.submitter.open_workflow(Opening(id, Range(0, 1)))
    async with works.crew() as crew:
        await crew.run()

    assert await works.value(join.id) == "a"
    assert (await works.record(join.id)).state is State.SUCCESS

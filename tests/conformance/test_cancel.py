"""Cancel: a task, a node or a whole workflow, over one store and over two: what it ends and releases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aioqueue import Signature, chain, chord, group
from aioqueue.codec import decode_error
from aioqueue.ids import new_id
from aioqueue.models.state import CancelOutcome, State
from aioqueue.protocols.messages import Message
from tests.support.flows import Works, many, retry_of
from tests.support.waiting import passing, under_way

pytestmark = pytest.mark.anyio

DAY = 86_400.0
CANCELLED, DONE, NOT_FOUND = CancelOutcome.CANCELLED, CancelOutcome.ALREADY_DONE, CancelOutcome.NOT_FOUND
A, B, C, D, TOLD = (Signature(name=name, takes="none") for name in ("a", "b", "c", "d", "told"))
NEXT, LAST = (Signature(name=name) for name in ("next", "last"))


async def cancel(works: Works, *ids: str) -> list[CancelOutcome]:
    return list(await works.submitter.cancel(ids, ttl=3600.0))


async def sent(works: Works, name: str, *, delay: float = 0.0) -> Message:
    message = Message(new_id(), name, works.queue, b"", delay=delay, sent=works.clock.time())
    await works.submitter.submit([message])
    return message


@pytest.mark.parametrize("delay", [0.0, 3600.0])
async def test_task_that_waits_never_starts(works: Works, delay: float) -> None:
    message = await sent(works, "a", delay=delay)
    waiting = await under_way(works.backend.wait(message.id, timeout=600))

    assert await cancel(works, message.id) == [CANCELLED]
    record = await passing(works.clock, waiting)
    async with works.crew() as crew:
        assert await crew.run() == []

    assert record is not None
    assert (record.state, record.value, record.error) == (State.CANCELLED, None, None)
    assert record.finished == pytest.approx(works.clock.time(), abs=3)
    assert await works.record(message.id) == record


async def test_task_that_runs_commits_no_more(works: Works) -> None:
    message = await sent(works, "a")
    async with works.crew() as crew:
        delivery = (await crew.take())["a"]
        assert await cancel(works, message.id) == [CANCELLED]
        assert not await crew.end(delivery)
        assert await crew.run() == []

    assert (await works.record(message.id)).state is State.CANCELLED


async def test_task_that_is_to_be_tried_again_is_not(works: Works) -> None:
    message = await sent(works, "a")
    async with works.crew() as crew:
        delivery = (await crew.take())["a"]
        await crew.end(delivery, State.RETRY, follow=(retry_of(delivery),))
        assert await cancel(works, message.id) == [CANCELLED]
        assert await crew.run() == []


@pytest.mark.parametrize("retried", [False, True])
async def test_cancelled_task_that_is_due_later_never_runs(works: Works, retried: bool) -> None:
    message = await sent(works, "a", delay=0.0 if retried else 3 * DAY)
    async with works.crew() as crew:
        if retried:
            delivery = (await crew.take())["a"]
            again = replace(retry_of(delivery), delay=3 * DAY)
            await crew.end(delivery, State.RETRY, follow=(again,), next_at=works.clock.time() + 3 * DAY)
        assert await cancel(works, message.id) == [CANCELLED]
    await works.clock.advance(3 * DAY + 1)
    await works.maintain()

    async with works.crew() as crew:
        assert await crew.run() == []


async def test_node_of_a_cancelled_whole_that_is_due_later_never_runs(works: Works) -> None:
    plan = await works.send(chain(A, B.options(delay=3 * DAY)))
    other = await works.send(chord(many(C.options(delay=60 * DAY), D), LAST))
    async with works.crew() as crew:
        await crew.end((await crew.take())["a"])
    await cancel(works, plan.id, other.id)
    ran: list[str] = []
    for days in (3, 57):
        await works.clock.advance(days * DAY + 1)
        await works.maintain()
        async with works.crew() as crew:
            ran += await crew.run()

    assert ran == []


@pytest.mark.parametrize("delay", [0.0, 3600.0])
async def test_what_was_cancelled_is_counted_no_more_where_it_waits_in_one_store(
    works: Works, delay: float
) -> None:
    late = [signature.options(delay=delay) for signature in (A, B)]
    message = await sent(works, "c", delay=delay)
    node = await works.send(chain(late[0], NEXT))
    whole = await works.send(chord(many(*late), LAST))
    inner = await works.send(chain(many(late[0]), NEXT))
    left = await sent(works, "d", delay=delay)
    ids = (message.id, node.nodes[0].message.id, whole.id, inner.id)
    assert await cancel(works, *ids) == [CANCELLED] * 4
    (stats,) = await works.broker.stats([works.queue])

    assert (stats.ready or 0) + (stats.delayed or 0) == (1 if works.one_step else 6)
    assert (await works.record(left.id)).state is State.PENDING


async def test_what_waits_in_the_place_of_a_node_is_cancelled_with_the_whole(works: Works) -> None:
    plan = await works.send(chain(A, NEXT).options(on_error=[TOLD.options(delay=60)]))
    async with works.crew() as crew:
        delivery = (await crew.take())["a"]
        await crew.go_on(delivery, await works.instead(delivery, many(B.options(delay=60), C)))
        await cancel(works, plan.id)
        (stats,) = await works.broker.stats([works.queue])
        assert await crew.run() == []

    # the callback stands in no scope
    assert stats.delayed == (1 if works.one_step else 2)


async def test_one_that_has_ended_stays_what_it_is(works: Works) -> None:
    message = await sent(works, "a")
    async with works.crew() as crew:
        await crew.run()

    assert await cancel(works, message.id, "nobody", message.id) == [DONE, NOT_FOUND, DONE]
    assert (await works.record(message.id)).state is State.SUCCESS


async def test_cancelled_task_is_cancelled_once(works: Works) -> None:
    message = await sent(works, "a")

    assert await cancel(works, message.id) == [CANCELLED]
    assert await cancel(works, message.id) == [DONE]


async def test_cancelled_node_decides_what_is_around_it(works: Works) -> None:
    plan = await works.send(chord(many(A, B), LAST).options(on_error=[TOLD]))
    async with works.crew() as crew:
        taken = await crew.take()
        assert await cancel(works, plan.nodes[0].message.id) == [CANCELLED]
        assert list(await crew.take()) == ["told"]
        assert not await crew.end(taken["a"])
        assert await crew.end(taken["b"])
        assert await crew.run() == []

    record = await works.record(plan.result)
    assert record.state is State.FAILURE
    assert record.error is not None
    error = decode_error(record.error)
    assert (error.type, error.task_id, error.task_name) == (
        "TaskCancelledError",
        plan.nodes[0].message.id,
        "a",
    )


async def test_node_that_was_not_released_yet_can_be_cancelled(works: Works) -> None:
    plan = await works.send(chain(A, NEXT, LAST))
    assert await cancel(works, plan.nodes[1].message.id) == [CANCELLED]
    async with works.crew() as crew:
        assert await crew.run() == []

    assert (await works.record(plan.result)).state is State.FAILURE
    assert (await works.record(plan.nodes[0].message.id)).state is State.CANCELLED


async def test_cancelled_member_is_an_error_where_errors_are_values(works: Works) -> None:
    plan = await works.send(chord(many(A, B), LAST, errors="collect"))
    assert await cancel(works, plan.nodes[0].message.id) == [CANCELLED]
    async with works.crew() as crew:
        assert [name for name in await crew.run() if name == "last"] == ["last"]


@pytest.mark.parametrize(
    "whole",
    [chain(A, NEXT, LAST), chord(many(A, B), LAST), group([A, B]), chain(A, many(NEXT, LAST))],
    ids=["chain", "chord", "group", "group in a chain"],
)
async def test_whole_is_cancelled_with_all_that_has_not_ended(works: Works, whole: Signature) -> None:
    plan = await works.send(whole)
    waiting = await under_way(works.backend.wait(plan.result, timeout=600))
    async with works.crew() as crew:
        taken = await crew.take()
        running = await under_way(works.backend.wait(plan.nodes[0].message.id, timeout=600))
        assert await cancel(works, plan.id) == [CANCELLED]
        assert [await crew.end(delivery) for delivery in taken.values()] == [False] * len(taken)
        assert await crew.run() == []
    records = [await passing(works.clock, each) for each in (waiting, running)]

    assert [record and record.state for record in records] == [State.CANCELLED] * 2
    assert set((await works.states(plan)).values()) == {State.CANCELLED}
    assert await cancel(works, plan.id) == [DONE]


async def test_cancel_of_a_whole_leaves_what_has_ended_and_tells_once(works: Works) -> None:
    plan = await works.send(chord(many(A, B), LAST).options(on_error=[TOLD]))
    async with works.crew() as crew:
        taken = await crew.take()
        await crew.end(taken["a"])
        assert await cancel(works, plan.id) == [CANCELLED]
        told = await crew.take()
        await cancel(works, plan.id)
        assert await crew.end(told["told"])
        assert await crew.run() == []

    states = await works.states(plan)
    assert (states["a"], states["b"], states["last"]) == (State.SUCCESS, State.CANCELLED, State.CANCELLED)


@pytest.mark.parametrize("good", [True, False])
async def test_whole_that_has_ended_stays_what_it_is(works: Works, good: bool) -> None:
    plan = await works.send(chain(A, NEXT))
    async with works.crew() as crew:
        delivery = (await crew.take())["a"]
        await (crew.end(delivery) if good else crew.fail(delivery))
        await crew.run()

    assert await cancel(works, plan.id) == [DONE]
    assert (await works.record(plan.result)).state is (State.SUCCESS if good else State.FAILURE)


@pytest.mark.parametrize("what", ["task", "whole", "workflow in its place"])
async def test_cancel_reaches_what_runs_in_place_of_a_task(works: Works, what: str) -> None:
    plan = await works.send(chain(A, NEXT))
    async with works.crew() as crew:
        delivery = (await crew.take())["a"]
        instead = await works.instead(delivery, many(B, chain(C, LAST)))
        await crew.go_on(delivery, instead)
        taken = await crew.take()
        await crew.end(taken["c"])
        id = {"task": delivery.message.id, "whole": plan.id}.get(what, instead.id)
        assert await cancel(works, id) == [CANCELLED]
        assert not await crew.end(taken["b"])
        assert await crew.run() == []

    inner = await works.states(instead)
    assert (inner["b"], inner["c"], inner["last"]) == (State.CANCELLED, State.SUCCESS, State.CANCELLED)
    task = await works.record(plan.nodes[0].message.id)
    assert task.state is (State.FAILURE if what == "workflow in its place" else State.CANCELLED)
    assert (await works.record(plan.result)).state is (State.CANCELLED if what == "whole" else State.FAILURE)


async def test_who_is_told_of_a_cancelled_whole_commits(works: Works) -> None:
    plan = await works.send(chain(A, NEXT).options(on_error=[TOLD]))
    async with works.crew() as crew:
        await cancel(works, plan.id)
        told = (await crew.take())["told"]
        meanwhile = await works.record(told.message.id)
        done = await crew.end(told)

    assert (meanwhile.state, done) == (State.STARTED, True)
    assert (await works.record(told.message.id)).state is State.SUCCESS


async def test_node_of_a_cancelled_whole_is_handed_out_no_more(works: Works) -> None:
    plan = await works.send(chord(many(A, B), LAST))
    async with works.crew() as crew, works.crew() as other:
        taken = await crew.take()
        await cancel(works, plan.id)
        await crew.finisher.release(list(taken.values()))
        assert await other.run() == []
        assert await crew.run() == []


async def test_what_runs_in_place_of_a_task_can_be_cancelled_though_all_around_has_failed(
    works: Works,
) -> None:
    plan = await works.send(chord(many(A, B), LAST))
    async with works.crew() as crew:
        taken = await crew.take()
        instead = await works.instead(taken["a"], C)
        await crew.go_on(taken["a"], instead)
        (inner,) = await crew.take_all()
        await crew.fail(taken["b"])
        assert await cancel(works, plan.nodes[0].message.id) == [DONE]
        assert await cancel(works, instead.id) == [CANCELLED]
        assert await cancel(works, instead.id) == [DONE]
        assert not await crew.end(inner)

    assert (await works.states(instead))["c"] is State.CANCELLED


async def test_whole_that_is_not_open_is_not_found(works: Works) -> None:
    plan = works.compiled(chain(A, NEXT))
    await works.keep(plan)

    assert await cancel(works, plan.id) == [NOT_FOUND]


async def test_repeated_cancel_publishes_what_the_first_one_released(works: Works) -> None:
    plan = await works.send(chain(A, NEXT).options(on_error=[TOLD]))
    node = await works.send(chain(B, NEXT).options(on_error=[D]))
    # the one who cancels dies before anything is published, where that is a step of its own
    if not works.one_step:
        await works.backend.cancel([plan.id, node.nodes[0].message.id], ttl=3600.0)
    await cancel(works, plan.id, node.nodes[0].message.id)
    await cancel(works, plan.id, node.nodes[0].message.id)

    async with works.crew() as crew:
        assert sorted(await crew.run()) == ["d", "told"]


@pytest.mark.parametrize("where", ["waits", "runs", "decides", "in place of a node"])
async def test_what_is_told_of_a_cancelled_whole_runs_though_the_canceller_died(
    works: Works, where: str
) -> None:
    plan = await works.send(chain(A, B, NEXT, LAST).options(on_error=[TOLD]))
    async with works.crew() as crew:
        delivery = (await crew.take())["a"]
        if where == "in place of a node":
            await crew.go_on(delivery, await works.instead(delivery, C))
        elif where == "decides":
            for name in ("a", "b", "next"):
                await crew.end((await crew.take() if name != "a" else {"a": delivery})[name])
        elif where == "waits":
            await crew.end(delivery)
        # the one who cancels dies before anything is published, where that is a step of its own
        await (works.submitter if works.one_step else works.backend).cancel([plan.id], ttl=3600.0)
        if where == "runs":
            assert not await crew.end(delivery)
        assert await crew.run() == ["told"]

    assert await cancel(works, plan.id) == [DONE]
    async with works.crew() as crew:
        assert await crew.run() == []


async def test_what_is_told_of_a_cancelled_whole_runs_and_commits(works: Works) -> None:
    plan = await works.send(chain(A, NEXT).options(on_error=[TOLD]))
    async with works.crew() as crew:
        await crew.take()
        await cancel(works, plan.id)
        told = (await crew.take())["told"]
        done = await crew.end(told)

    assert done
    assert (await works.record(told.message.id)).state is State.SUCCESS


@pytest.mark.parametrize("what", ["task", "whole"])
async def test_holder_of_what_was_cancelled_holds_it_no_more(works: Works, what: str) -> None:
    plan = await works.send(chain(A, NEXT))
    async with works.crew() as crew:
        delivery = (await crew.take())["a"]
        await cancel(works, plan.id if what == "whole" else delivery.message.id)
        await crew.end(delivery)
        await crew.run()
        (stats,) = await works.broker.stats([works.queue])

    assert (stats.held, stats.ready) == (0, 0)


async def test_whoever_waits_for_what_runs_in_place_of_a_node_is_woken_by_a_cancel_around_it(
    works: Works,
) -> None:
    plan = await works.send(chain(A, NEXT))
    async with works.crew() as crew:
        delivery = (await crew.take())["a"]
        instead = await works.instead(delivery, chain(B, LAST))
        await crew.go_on(delivery, instead)
        ids = [node.message.id for node in instead.nodes]
        waiting = [await under_way(works.backend.wait(id, timeout=600)) for id in ids]
        await crew.take()
        await cancel(works, plan.id)
    records = [await passing(works.clock, each) for each in waiting]

    assert [record and record.state for record in records] == [State.CANCELLED] * 2

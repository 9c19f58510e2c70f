"""Cancel and the tree of a workflow, end to end on every pair of stores."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aioqueue import Server, Signature, answers, chain, chord, current, group
from aioqueue.errors import (
    ResultNotFoundError,
    ResultTimeoutError,
    SignatureError,
    TaskCancelledError,
)
from aioqueue.models.state import CancelOutcome, State
from tests.integration.sums import Sums
from tests.support.waiting import eventually, within

pytestmark = pytest.mark.anyio


class Bench(Sums):
    """Tasks that are held. began, ended: by their arguments, those that began, and whose finally ran."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.began: list[Any] = []
        self.ended: list[Any] = []
        self.told: list[Any] = []
        self.gate = asyncio.Event()

        @server.task
        async def held(n: int) -> int:
            self.began.append(n)
            try:
                await self.gate.wait()
            finally:
                self.ended.append(n)
            return n

        @server.task
        async def goes_on(n: int) -> Signature[int]:
            return chain(held.s(n), self.add.p(1))

        @server.task
        async def tell(what: Any) -> None:
            self.told.append((current().task_name, what))

        self.held, self.goes_on, self.tell = held, goes_on, tell


@pytest.fixture
async def bench(server: Server) -> AsyncIterator[Bench]:
    """The Server, open, with a worker beside it."""
    bench = Bench(server)
    async with server, server.worker(concurrency=20):
        yield bench


async def test_running_task_is_interrupted_and_its_waiter_told_at_once(bench: Bench) -> None:
    result = await bench.held.send(1)
    await eventually(lambda: bench.began == [1])

    answer = await result.cancel()

    assert (answer.outcome, answer.cancelled) == (CancelOutcome.CANCELLED, (result.id,))
    assert answer
    with pytest.raises(TaskCancelledError):
        await within(result.get())
    await eventually(lambda: bench.ended == [1])
    assert not await result.cancel()


async def test_cancel_tells_whether_what_ran_was_interrupted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "PATIENCE", 8.0)
    over = threading.Event()

    @bench.server.task
    def in_a_thread() -> None:
        bench.began.append("thread")
        over.wait(20)

    try:
        held, thread = await bench.held.send(1), await in_a_thread.send()
        await eventually(lambda: set(bench.began) == {1, "thread"})

        assert (await held.cancel()).interrupted is True
        assert (await thread.cancel()).interrupted is False
        assert (await thread.cancel()).interrupted is None
        with pytest.raises(TaskCancelledError):
            await within(thread.get())
    finally:
        over.set()


async def test_cancel_does_not_wait_for_who_does_not_answer(server: Server) -> None:
    async with server, server.worker():
        pass
    bench = Bench(server)
    async with server:
        result = await bench.add.options(delay=60).send(1, 1)

        assert (await result.cancel()).interrupted is None


async def test_delayed_task_is_cancelled_by_its_id(bench: Bench) -> None:
    result = await bench.add.options(delay=3600).send(1, 1)

    assert (await bench.server.cancel(result.id)).outcome is CancelOutcome.CANCELLED
    assert (await bench.server.cancel("nobody")).outcome is CancelOutcome.NOT_FOUND
    assert (await result.state()).state is State.CANCELLED


async def test_workflow_is_cancelled_and_says_what_had_ended(bench: Bench) -> None:
    members = group([bench.add.s(1, 1), bench.held.s(2)])
    result = await chord(members, bench.total.p()).options(on_error=bench.tell.p()).send()
    await eventually(lambda: bench.began == [2])
    await within(bench.server.result(f"{result.id}.0").get())

    answer = await result.cancel()

    assert answer.outcome is CancelOutcome.CANCELLED
    assert answer.finished == (f"{result.id}.0",)
    assert f"{result.id}.1" in answer.cancelled
    with pytest.raises(TaskCancelledError):
        await within(result.get())
    await eventually(lambda: bench.ended == [2] and bench.told == [("tell", "the workflow was cancelled")])


async def test_cancel_reaches_what_runs_in_place_of_a_member(bench: Bench) -> None:
    result = await group([bench.goes_on.s(7), bench.add.s(1, 1)]).send()
    await eventually(lambda: bench.began == [7])

    assert await result.cancel()

    with pytest.raises(TaskCancelledError):
        await within(result.get())
    # inside what runs in its place it may be seen by the slow look alone
    await eventually(lambda: bench.ended == [7], deadline=20)


async def test_workflow_is_awaited_shown_and_cancelled_by_its_id(bench: Bench) -> None:
    sent = await chain(bench.held.s(3), bench.add.p(4)).options(id="order").send()
    again = await chain(bench.held.s(3), bench.add.p(4)).options(id="order").send()
    assert (sent.id, sent.created, again.created) == ("order", True, False)
    await eventually(lambda: bench.began == [3])
    tree = await bench.server.workflow("order")
    step = bench.server.result("order.1")
    assert (await step.state()).state is State.PENDING

    bench.gate.set()

    assert await within(bench.server.result("order").get()) == 7
    assert tree.state is State.PENDING
    assert [(part.kind, [inner.id for inner in part.parts]) for part in tree.parts] == [
        ("chain", ["order.0", "order.1"])
    ]
    assert tree.counts == {State.STARTED: 1, State.PENDING: 1}
    assert (await bench.server.workflow("order")).counts == {State.SUCCESS: 2}
    with pytest.raises(ResultNotFoundError, match="nothing-of-it"):
        await bench.server.workflow("nothing-of-it")


async def test_tree_shows_what_runs_in_place_of_a_node(bench: Bench) -> None:
    bench.gate.set()
    result = await (bench.goes_on.s(1) | group([bench.add.p(1), bench.add.p(2)])).send()
    assert await within(result.get()) == [3, 4]

    tree = await bench.server.workflow(result.id)

    (whole,) = tree.parts
    first, fan = whole.parts
    assert (whole.kind, first.kind, fan.kind) == ("chain", "task", "group")
    assert [part.kind for part in first.parts] == ["chain"]
    assert [task.task.name for task in first.walk() if task.task is not None] == ["goes_on", "held", "add"]
    assert tree.counts == {State.SUCCESS: 5}


async def test_group_is_awaited_by_the_id_of_its_workflow(bench: Bench) -> None:
    sent = await group([bench.add.s(1, n) for n in range(3)]).send()
    assert await within(sent.get()) == [1, 2, 3]

    assert await within(bench.server.result(sent.id).get()) == [1, 2, 3]
    assert await within(bench.server.group_result(sent.id).get()) == [1, 2, 3]
    assert (await bench.server.result(sent.id).state()).result == [1, 2, 3]


async def test_slots_that_all_wait_for_their_own_queue_are_told(
    server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioqueue.waits.LONG", 0.3)
    monkeypatch.setattr("aioqueue.results.ROUND", 0.4)

    @server.task
    async def child(n: int) -> int:
        return n

    @server.task
    async def parent(n: int) -> int:
        return await (await child.send(n)).get()

    async with server:
        sent = [await parent.send(n) for n in range(2)]
        async with server.worker(concurrency=2):
            ended = await within(asyncio.gather(*[one.get() for one in sent], return_exceptions=True))

    told = [error for error in ended if isinstance(error, Exception)]
    assert told
    assert all(getattr(error, "type", "") == "TaskDeadlockError" for error in told)
    assert "all 2 slots of worker" in caplog.text


async def test_workers_that_all_wait_for_the_queue_they_serve_are_told(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioqueue.waits.LONG", 0.3)
    monkeypatch.setattr("aioqueue.results.ROUND", 0.4)
    began = 0

    @server.task
    async def child(n: int) -> int:
        return n

    @server.task
    async def parent(n: int) -> int:
        nonlocal began
        began += 1
        await eventually(lambda: began >= 2)
        return await (await child.send(n)).get()

    async with server, server.worker(concurrency=1, name="one", sweep=0.2):
        async with server.worker(concurrency=1, name="two", sweep=0.2):
            sent = [await parent.send(n) for n in range(2)]
            ended = await within(asyncio.gather(*[one.get() for one in sent], return_exceptions=True))

    assert "TaskDeadlockError" in [getattr(error, "type", "") for error in ended]


async def test_slots_whose_waits_begin_one_after_the_other_are_told_and_so_are_those_that_wait_for_groups(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioqueue.waits.LONG", 0.3)
    monkeypatch.setattr("aioqueue.results.ROUND", 0.2)
    monkeypatch.setattr("aioqueue.group_result.ROUND", 0.2)

    @server.task
    async def child(n: int) -> int:
        return n

    @server.task
    async def parent(n: int) -> list[int]:
        await asyncio.sleep(n * 0.15)
        return await (await group([child.s(n)]).send()).get()

    async with server:
        sent = [await parent.send(n) for n in range(2)]
        async with server.worker(concurrency=2):
            ended = await within(asyncio.gather(*[one.get() for one in sent], return_exceptions=True))

    assert "TaskDeadlockError" in [getattr(error, "type", "") for error in ended]


async def test_slots_that_wait_for_what_goes_on_as_a_workflow_are_told(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioqueue.waits.LONG", 0.3)
    monkeypatch.setattr("aioqueue.results.ROUND", 0.2)
    began, second = asyncio.Event(), asyncio.Event()

    @server.task
    async def child(n: int) -> int:
        return n

    @server.task
    async def goes_on(n: int) -> Signature[int]:
        began.set()
        await second.wait()
        return chain(child.s(n), child.p())

    @server.task
    async def parent(n: int) -> Any:
        return await (await goes_on.send(n)).get()

    async with server, server.worker(concurrency=2):
        first = await parent.send(1)
        await within(began.wait())
        # it is in the queue before what the first one's child goes on as
        other = await parent.send(2)
        second.set()
        ended = await within(asyncio.gather(first.get(), other.get(), return_exceptions=True))

    assert "TaskDeadlockError" in [getattr(error, "type", "") for error in ended]


async def test_who_waits_for_what_runs_elsewhere_is_not_told(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioqueue.waits.LONG", 0.3)
    monkeypatch.setattr("aioqueue.results.ROUND", 0.2)
    gate = asyncio.Event()

    @server.task(queue="elsewhere")
    async def slow(n: int) -> int:
        await gate.wait()
        return n

    @server.task
    async def last(n: int) -> int:
        return n

    @server.task
    async def parent() -> int:
        return await (await chain(slow.s(1), last.p()).send()).get()

    async with server, server.worker(queues=["elsewhere"]):
        sent = await parent.send()
        async with server.worker(concurrency=1), server.worker():
            with pytest.raises(ResultTimeoutError):
                await sent.get(timeout=1.2)
            gate.set()
            assert await within(sent.get()) == 1


async def test_second_send_under_an_id_starts_nothing_whatever_it_is(bench: Bench) -> None:
    first = await chain(bench.held.s(3), bench.add.p(4)).options(id="order").send()
    await eventually(lambda: bench.began == [3])

    second = await bench.server.send(group([bench.add.s(1, 1)] * 5).options(id="order"))
    bench.gate.set()

    assert (first.created, second.created) == (True, False)
    for reading in (second.get(), second.counts(), bench.server.group_result("order").get()):
        with pytest.raises(ResultNotFoundError, match=r"'order' is no group: .* server\.result\('order'\)"):
            await within(reading)
    assert await within(first.get()) == 7
    with pytest.raises(ResultNotFoundError, match="'order' is no group"):
        await second
    assert await within(bench.server.result("order").get()) == 7
    await bench.add.options(id="order.0").send(1, 1)
    with pytest.raises(SignatureError, match="a task has it already"):
        await group([bench.add.s(1, 1)]).options(id="order.0").send()
    with pytest.raises(SignatureError, match="several calls of one send"):
        await bench.server.send_many(
            [bench.add.s(1, 1).options(id="twice"), chain(bench.add.s(1, 1)).options(id="twice")]
        )


async def test_answer_of_a_cancel_names_what_runs_in_place_of_tasks_too(bench: Bench) -> None:
    result = await (bench.add.s(1, 1) | bench.goes_on.p() | bench.add.p(1)).send()
    await eventually(lambda: bench.began == [2])

    answer = await result.cancel()
    again = await result.cancel()

    assert answer.finished == (f"{result.id}.0",)
    assert len(answer.cancelled) == 4
    assert not again
    assert (again.cancelled, {*again.finished}) == ((), {*answer.finished, *answer.cancelled})
    assert (await bench.server.cancel(f"{result.id}.0")).finished == (f"{result.id}.0",)
    await result.forget()
    with pytest.raises(ResultNotFoundError):
        await result.state()

"""Callbacks: what they are told, where they run, and that a workflow among them is known by its id."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from aioqueue import AsyncResult, Server, Signature, chain, current, group
from aioqueue.errors import SignatureError, TaskCancelledError, TaskFailedError
from aioqueue.models.state import CancelOutcome, ErrorInfo, State
from tests.integration.sums import Sums
from tests.support.waiting import eventually, within

pytestmark = pytest.mark.anyio


class Bench(Sums):
    """Tasks that are callbacks. told: what they were told, and the error each was called for."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.told: list[tuple[object, ErrorInfo | None]] = []
        self.gate = asyncio.Event()

        @server.task
        async def note(what: object = "nothing") -> object:
            self.told.append((what, current().error))
            return what

        @server.task
        async def held(x: int) -> int:
            await self.gate.wait()
            return x

        self.note, self.held = note, held

    async def first_told(self) -> tuple[object, ErrorInfo]:
        """Return what the first callback was told, and its error."""
        await within(eventually(lambda: bool(self.told)))
        what, error = self.told[0]
        assert error is not None
        return what, error


@pytest.fixture
async def bench(server: Server) -> AsyncIterator[Bench]:
    """The Server, open, with a worker beside it."""
    bench = Bench(server)
    async with server, server.worker(concurrency=20):
        yield bench


async def test_on_error_of_a_call_is_told_the_whole_error(bench: Bench) -> None:
    result = await bench.fail.options(on_error=bench.note.p()).send("no")
    what, error = await bench.first_told()
    assert what == "no"
    assert (error.type, error.message, error.task_id, error.task_name) == (
        "ValueError",
        "no",
        result.id,
        "fail",
    )
    assert error.attempt == 1
    assert "raise ValueError(message)" in (error.traceback or "")


async def test_call_that_takes_nothing_is_told_the_error_too(bench: Bench) -> None:
    await chain(bench.fail.s("no"), bench.add.p(1)).options(on_error=bench.note.s()).send()
    what, error = await bench.first_told()
    assert (what, error.message, error.task_name) == ("nothing", "no", "fail")


async def test_on_error_of_a_whole_is_told_which_step_failed(bench: Bench) -> None:
    result = await chain(bench.add.s(1, 1), bench.fail.s("no")).options(on_error=bench.note.p()).send()
    what, error = await bench.first_told()
    assert (what, error.message, error.task_name) == ("no", "no", "fail")
    assert error.task_id.startswith(f"{result.id}.")


async def test_workflow_that_is_called_for_an_error_is_told_it_at_its_first_step(bench: Bench) -> None:
    after = chain(bench.note.p(), bench.note.p())
    result = await bench.fail.options(on_error=after).send("no")
    await within(eventually(lambda: len(bench.told) == 2))
    (what, error), (_, later) = bench.told
    assert (what, error and error.task_id, later) == ("no", result.id, None)


async def test_value_is_no_error(bench: Bench) -> None:
    await bench.add.options(on_success=bench.note.p()).send(1, 2)
    await within(eventually(lambda: bool(bench.told)))
    assert bench.told == [(3, None)]


async def test_workflow_that_is_a_callback_is_awaited_by_its_id(bench: Bench) -> None:
    result = await bench.add.options(on_success=chain(bench.held.p(), bench.add.p(10))).send(1, 2)
    await within(result)
    callback = bench.server.result(f"{result.id}.s0")
    await within(eventually(lambda: state_is(callback, State.STARTED)))
    bench.gate.set()
    assert await within(callback) == 13


async def test_workflow_that_is_a_callback_is_cancelled_by_its_id(bench: Bench) -> None:
    after = chain(bench.held.p(), bench.note.p())
    result = await bench.add.options(on_success=after).send(1, 2)
    await within(result)
    callback = bench.server.result(f"{result.id}.s0")
    await within(eventually(lambda: state_is(callback, State.STARTED)))
    assert (await callback.cancel()).outcome is CancelOutcome.CANCELLED
    with pytest.raises(TaskCancelledError):
        await within(callback)
    bench.gate.set()
    await within(await bench.add.send(2, 2))
    assert bench.told == []


async def test_workflow_that_is_a_callback_runs_where_its_owner_did(server: Server) -> None:
    bench = Bench(server)
    async with server, server.worker(queues=["apart"]):
        after = group([bench.note.options(queue="apart").p(), bench.note.options(queue="apart").p()])
        await bench.fail.options(queue="apart", on_error=after).send("no")
        await within(eventually(lambda: len(bench.told) == 2))


async def test_step_that_never_ran_names_the_failure(bench: Bench) -> None:
    result = await chain(bench.fail.s("no"), bench.add.p(1), bench.add.p(2)).send()
    with pytest.raises(TaskFailedError):
        await within(result)
    with pytest.raises(TaskCancelledError) as caught:
        await within(bench.server.result(f"{result.id}.1"))
    cause = caught.value.cause
    assert isinstance(cause, TaskFailedError)
    assert (cause.message, cause.task_id) == ("no", f"{result.id}.0")


async def test_workflow_in_the_place_of_a_task_is_shown_by_its_id(bench: Bench) -> None:
    result = await bench.add.options(on_success=chain(bench.add.p(10), bench.add.p(100))).send(1, 2)
    await within(result)
    callback = bench.server.result(f"{result.id}.s0")
    assert await within(callback) == 113
    tree = await bench.server.workflow(callback.id)
    assert (tree.id, tree.counts) == (callback.id, {State.SUCCESS: 2})


async def test_task_that_raises_what_another_one_came_to_has_failed(bench: Bench) -> None:
    @bench.server.task
    async def asks(id: str) -> Any:
        return await bench.server.result(id)

    cancelled = await bench.add.options(delay=3600).send(1, 2)
    await cancelled.cancel()
    with pytest.raises(TaskFailedError) as caught:
        await within(await asks.send(cancelled.id))
    assert caught.value.type == "TaskCancelledError"


async def test_what_is_no_call_is_not_sent(bench: Bench) -> None:
    for wrong, said in ((bench.add, r"add\.s\(\.\.\.\)"), ([bench.add.s(1, 2)], r"send_many")):
        with pytest.raises(SignatureError, match=said):
            await bench.server.send(cast("Signature[int]", wrong))


async def test_call_can_be_pickled(bench: Bench) -> None:
    call: Signature[int] = pickle.loads(pickle.dumps(bench.add.s(1, 2)))
    assert call == bench.add.s(1, 2)


async def state_is(result: AsyncResult[Any], state: State) -> bool:
    """Tell whether a result is in that state."""
    return (await result.state()).state is state

"""How a chord ends by one of its members, end to end on every pair of stores.

Whoever waits is told at once which member it was, while another one still runs; what is told of the
failure is told once; a step that is never released can be shown, awaited and cancelled by its id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aioqueue import AsyncResult, Server, Signature, chord, group
from aioqueue.errors import TaskCancelledError, TaskError
from aioqueue.models.state import CancelOutcome, State
from aioqueue.worker.two_step import TwoStepFinisher
from tests.support.waiting import eventually, take, within

pytestmark = pytest.mark.anyio

ID = "ends"
CULPRIT, HELD, TOLD, CALLBACK, STEP = (f"{ID}.{number}" for number in range(5))
ASIDE = "aside"
"""Queue of the member that ends the chord."""


class Bench:
    """A Server with tasks. began: by the held member; told: what ``on_error`` was told."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.began = asyncio.Event()
        self.gate = asyncio.Event()
        self.told: list[Any] = []

        @server.task
        async def act() -> int:
            return 1

        @server.task
        async def fail() -> int:
            raise ValueError("no")

        @server.task
        async def held() -> int:
            self.began.set()
            await self.gate.wait()
            return 2

        @server.task
        async def total(values: list[int]) -> int:
            return sum(values)

        @server.task
        async def more(x: int) -> int:
            return x + 1

        @server.task
        async def tell(what: Any) -> None:
            self.told.append(what)

        self.act, self.fail, self.held, self.total, self.more, self.tell = act, fail, held, total, more, tell

    async def send(self, member: Signature[int]) -> AsyncResult[int]:
        """Send a chord of *member* and of one that is held, followed by a step."""
        members = group([member.options(queue=ASIDE), self.held.s()])
        whole = chord(members, self.total.p()) | self.more.p()
        return await whole.options(id=ID, on_error=self.tell.p()).send()

    async def ends_by(self, result: AsyncResult[int], name: str, kind: str) -> TaskError:
        """Look how it ends by its first member while the second one runs; return the error."""
        with pytest.raises(TaskError) as caught:
            await within(result.get())
        held = await self.server.result(HELD).state()
        assert held.state is State.STARTED
        assert (caught.value.task_name, caught.value.task_id, caught.value.type) == (name, CULPRIT, kind)
        for id in (CALLBACK, STEP):
            with pytest.raises(TaskError):
                await within(self.server.result(id).get())
            assert (await self.server.cancel(id)).outcome is CancelOutcome.ALREADY_DONE
        self.gate.set()
        await within(self.server.result(HELD).get())
        await eventually(self._is_idle)
        assert self.told == [caught.value.message]
        assert (await self.server.result(TOLD).state()).state is State.SUCCESS
        return caught.value

    async def lose(self) -> None:
        """Let a worker die with the member that is aside."""
        stores = self.server.stores
        context = stores.broker.consume([ASIDE], prefetch=1, lease=600, worker="dead")
        async with context as consumer:
            finisher = consumer.finisher(stores.backend)
            if finisher is None:
                await asyncio.to_thread(stores.backend.lease(consumer.id, seconds=600).beat)
                finisher = TwoStepFinisher(consumer, stores.backend, "dead")
            await finisher.begin(await take(consumer))
            await stores.backend.bury(consumer.id)
            await stores.broker.bury(consumer.id)

    async def _is_idle(self) -> bool:
        counts = await self.server.stores.broker.stats(["default", ASIDE])
        return all((each.ready, each.delayed, each.held) == (0, 0, 0) for each in counts)


@pytest.fixture
async def bench(server: Server) -> AsyncIterator[Bench]:
    """The Server, open, with a worker beside it that does not serve the queue aside."""
    bench = Bench(server)
    async with server, server.worker():
        yield bench
        bench.gate.set()


async def test_member_that_fails_ends_its_chord(bench: Bench) -> None:
    result = await bench.send(bench.fail.s())
    await within(bench.began.wait())

    async with bench.server.worker(queues=[ASIDE]):
        error = await bench.ends_by(result, "fail", "ValueError")

    assert error.message == "no"
    assert await bench.server.dead_letters() == []


async def test_member_that_expires_ends_its_chord(bench: Bench) -> None:
    result = await bench.send(bench.act.s().options(expires=datetime.now(UTC) - timedelta(seconds=1)))
    await within(bench.began.wait())

    async with bench.server.worker(queues=[ASIDE]):
        error = await bench.ends_by(result, "act", "TaskExpiredError")

    assert "expired" in error.message
    assert (await bench.server.result(CULPRIT).state()).state is State.EXPIRED


async def test_member_that_is_cancelled_ends_its_chord(bench: Bench) -> None:
    result = await bench.send(bench.act.s())
    await within(bench.began.wait())

    answer = await bench.server.cancel(CULPRIT)
    async with bench.server.worker(queues=[ASIDE]):
        error = await bench.ends_by(result, "act", "TaskCancelledError")

    assert answer.outcome is CancelOutcome.CANCELLED
    assert error.message == "act was cancelled"
    with pytest.raises(TaskCancelledError):
        await within(bench.server.result(CULPRIT).get())


async def test_member_that_too_many_workers_die_with_ends_its_chord(bench: Bench) -> None:
    result = await bench.send(bench.act.s())
    await within(bench.began.wait())
    for _ in range(2):
        await bench.lose()

    async with bench.server.worker(queues=[ASIDE], max_losses=1):
        error = await bench.ends_by(result, "act", "WorkerLost")

    letters = await bench.server.dead_letters()
    assert error.message.startswith("worker lost: 2 workers died")
    assert [(letter.id, letter.reason) for letter in letters] == [(CULPRIT, error.message)]


async def test_step_that_is_not_released_yet_is_shown_awaited_and_cancelled(bench: Bench) -> None:
    result = await bench.send(bench.act.s())
    await within(bench.began.wait())
    step = bench.server.result(CALLBACK)
    shown = await step.state()
    waiting = asyncio.ensure_future(step.get())

    answer = await bench.server.cancel(CALLBACK)

    assert (shown.name, shown.state) == ("total", State.PENDING)
    assert answer.outcome is CancelOutcome.CANCELLED
    with pytest.raises(TaskCancelledError):
        await within(waiting)
    with pytest.raises(TaskError) as caught:
        await within(result.get())
    assert (caught.value.task_name, caught.value.task_id) == ("total", CALLBACK)
    assert (await bench.server.result(STEP).state()).state.final
    await eventually(lambda: bench.told == ["total was cancelled"])
    assert (await bench.server.result(HELD).state()).state is State.STARTED

"""Tasks that return a call or a workflow, end to end on every pair of stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from aioqueue import Server, Signature, chain, chord, group
from aioqueue.errors import TaskFailedError
from aioqueue.models.state import State
from tests.integration.sums import Sums
from tests.support.waiting import eventually, within

pytestmark = pytest.mark.anyio


class Bench(Sums):
    """Tasks that return calls. told: what callbacks were told."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.told: list[Any] = []

        @server.task
        async def summed(n: int) -> Signature[int]:
            return chord(group([self.add.s(i, i) for i in range(n)]), self.total.p())

        @server.task
        async def spread_out(n: int) -> Signature[list[int]]:
            return group([self.add.s(i, 0) for i in range(n)])

        @server.task
        async def down(n: int) -> Any:
            return down.s(n - 1) if n else "ground"

        @server.task
        async def broken() -> Signature[int]:
            return chain(self.add.s(1, 1), Signature(name="fail", args=["deep"], takes="none"))

        @server.task
        async def open_ended() -> Any:
            return self.add.p(1).signature

        @server.task
        async def tell(what: Any) -> None:
            self.told.append(what)

        self.summed, self.spread_out, self.down = summed, spread_out, down
        self.broken, self.open_ended, self.tell = broken, open_ended, tell


@pytest.fixture
async def bench(server: Server) -> AsyncIterator[Bench]:
    """The Server, open, with a worker beside it."""
    bench = Bench(server)
    async with server, server.worker(concurrency=20):
        yield bench


async def test_workflow_that_a_task_returns_is_its_value(bench: Bench) -> None:
    result = await bench.summed.send(4)

    assert await within(result.get()) == 12
    assert (await result.state()).state is State.SUCCESS


async def test_step_goes_on_and_the_next_takes_what_it_came_to(bench: Bench) -> None:
    result = await chain(bench.summed.s(4), bench.add.p(30)).send()

    assert await within(result.get()) == 42


async def test_members_go_on_and_their_values_are_in_order(bench: Bench) -> None:
    result = await group([bench.summed.s(n) for n in (3, 1, 0)]).send()

    assert await within(result.get()) == [6, 0, 0]


async def test_group_in_place_of_a_task_is_the_list_of_its_values(bench: Bench) -> None:
    assert await within((await bench.spread_out.send(3)).get()) == [0, 1, 2]
    assert await within((await chain(bench.spread_out.s(4), bench.total.p()).send()).get()) == 6
    assert await within((await bench.spread_out.send(0)).get()) == []


async def test_call_in_place_of_a_call_in_place_of_a_call(bench: Bench) -> None:
    assert await within((await bench.down.send(30)).get()) == "ground"


async def test_failure_inside_is_the_tasks(bench: Bench) -> None:
    result = await bench.broken.options(on_error=bench.tell.p()).send()

    with pytest.raises(TaskFailedError, match="deep") as caught:
        await within(result.get())
    assert caught.value.task_name == "fail"
    await eventually(lambda: bench.told == ["deep"])


async def test_callbacks_of_the_task_wait_for_its_workflow(bench: Bench) -> None:
    await bench.summed.options(on_success=bench.tell.p()).send(4)

    await eventually(lambda: bench.told == [12])


async def test_call_that_cannot_be_made_is_refused_with_the_reason(bench: Bench) -> None:
    result = await bench.open_ended.send()

    with pytest.raises(TaskFailedError, match="nothing comes before it"):
        await within(result.get())


async def test_task_without_a_record_goes_on_too(bench: Bench) -> None:
    calls = chain(bench.add.s(1, 1), bench.tell.p())

    @bench.server.task(ignore_result=True)
    async def start() -> Any:
        return calls

    await start.options(on_success=bench.tell.p()).send()

    await eventually(lambda: bench.told == [2, None])

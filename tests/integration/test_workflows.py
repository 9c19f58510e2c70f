"""Workflows, end to end on every pair of stores: chain, group, chord, and each in the others.

The plain ones are in ``test_acceptance``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aioqueue import Chain, Server, Signature, chain, chord, current, group
from aioqueue.errors import ResultTimeoutError, SignatureError, TaskError, TaskFailedError
from aioqueue.models.state import State
from tests.integration.sums import Sums
from tests.support.waiting import eventually, within

pytestmark = pytest.mark.anyio


class Bench(Sums):
    """More tasks. told: what callbacks were told."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.told: list[Any] = []

        @server.task
        async def multiply(xs: list[int], factor: int = 1) -> int:
            for x in xs:
                factor *= x
            return factor

        @server.task
        async def times(factor: int, x: int) -> int:
            return factor * x

        @server.task
        async def count_errors(outcomes: list[int | TaskError]) -> int:
            return sum(isinstance(outcome, TaskError) for outcome in outcomes)

        @server.task
        async def slow(n: int) -> int:
            await asyncio.sleep(1.3)
            return n

        @server.task
        async def tell(what: Any) -> None:
            self.told.append((current().task_name, what))

        self.multiply, self.times, self.count_errors = multiply, times, count_errors
        self.tell, self.slow = tell, slow


@pytest.fixture
async def bench(server: Server) -> AsyncIterator[Bench]:
    """The Server, open, with a worker beside it."""
    bench = Bench(server)
    async with server, server.worker(concurrency=20):
        yield bench


async def test_empty_group_and_empty_chord(bench: Bench) -> None:
    nothing: list[Signature[int]] = []

    assert await within((await bench.server.send(group(nothing))).get()) == []
    assert await within((await chord(group(nothing), bench.total.p()).send()).get()) == 0
    after = bench.add.s(1, 1) | chord(group(nothing), bench.total.p()) | bench.add.p(5)
    assert await within((await after.send()).get()) == 5


async def test_group_in_a_chain_gets_the_value_each(bench: Bench) -> None:
    result = await (bench.add.s(1, 1) | group([bench.add.p(10), bench.times.p(7)]) | bench.total.p()).send()

    assert await within(result.get()) == 12 + 14


async def test_chains_in_a_group_and_groups_in_a_group(bench: Bench) -> None:
    chains = group([bench.add.s(1, 1) | bench.times.p(3), bench.add.s(2, 2) | bench.times.p(5)])
    groups = group([group([bench.add.s(1, 0)]), group([bench.add.s(2, 0), bench.add.s(3, 0)])])

    assert await within((await chains.send()).get()) == [6, 20]
    assert await within((await groups.send()).get()) == [[1], [2, 3]]


async def test_chord_of_chords(bench: Bench) -> None:
    inner = [chord(group([bench.add.s(n, 1), bench.add.s(n, 2)]), bench.total.p()) for n in (0, 10)]

    result = await chord(group(inner), bench.total.p()).send()

    assert await within(result.get()) == 3 + 23


async def test_slices_are_a_group(bench: Bench) -> None:
    result = await (bench.total.chunks(range(10), 4) | bench.multiply.p()).send()
    nothing = await bench.total.chunks([], 4).send()

    assert await within(result.get()) == (0 + 1 + 2 + 3) * (4 + 5 + 6 + 7) * (8 + 9)
    assert await within(nothing.get()) == []


async def test_group_of_a_thousand(bench: Bench) -> None:
    result = await chord(group(bench.add.s(n, 0) for n in range(1_000)), bench.total.p()).send()

    assert await within(result.get(), deadline=50) == sum(range(1_000))


async def test_failed_step_fails_the_chain_and_names_the_step(bench: Bench) -> None:
    whole = chain(bench.add.s(1, 1), bench.fail.s("no"), bench.add.p(1)).options(on_error=bench.tell.p())
    result = await whole.send()

    with pytest.raises(TaskFailedError, match="no") as caught:
        await within(result.get())
    await eventually(lambda: bench.told == [("tell", "no")])

    assert caught.value.task_name == "fail"


async def test_failed_member_fails_the_chord_at_once(bench: Bench) -> None:
    members = group([bench.add.s(1, 1), bench.fail.s("no"), bench.add.s(2, 2)])
    result = await chord(members, bench.total.p()).send()

    with pytest.raises(TaskFailedError, match="no") as caught:
        await within(result.get())

    assert caught.value.task_name == "fail"


async def test_collecting_chord_gets_errors_among_the_values(bench: Bench) -> None:
    members = group([bench.add.s(1, 1), bench.fail.s("no"), bench.fail.s("neither")])
    result = await chord(members, bench.count_errors.p(), errors="collect").send()

    assert await within(result.get()) == 2


async def test_plain_group_raises_its_first_failure_and_runs_on(bench: Bench) -> None:
    result = await group([bench.add.s(1, 1), bench.fail.s("no"), bench.add.s(2, 2)]).send()

    with pytest.raises(TaskFailedError, match="no"):
        await within(result.get())
    one, error, two = await within(result.get(errors="return"))

    assert (one, two) == (2, 4)
    assert isinstance(error, TaskFailedError)
    assert error.task_name == "fail"


async def test_workflow_written_by_hand_is_sent_by_name(bench: Bench) -> None:
    written = Chain.model_validate_json(
        '{"steps": [{"name": "add", "args": [1, 2]}, {"members": [{"name": "add", "args": [10]},'
        ' {"name": "times", "args": [5]}]}, {"name": "total"}]}'
    )
    result = await bench.server.send(written)

    assert await within(result.get()) == 13 + 15


async def test_callbacks_may_be_workflows(bench: Bench) -> None:
    after = chain(bench.add.p(1), bench.tell.p())
    result = await bench.server.send(bench.add.s(1, 1).options(on_success=after))

    assert await within(result.get()) == 2
    await eventually(lambda: bench.told == [("tell", 3)])


async def test_nodes_can_be_seen_from_the_start(server: Server) -> None:
    bench = Bench(server)
    async with server:
        await server.send(chain(bench.add.s(1, 1), bench.add.p(1), bench.add.p(1)).options(id="seen"))
        states = [(await server.result(f"seen.{n}").state()).state for n in range(3)]
        async with server.worker():
            assert await within(server.result("seen.2").get()) == 4
        ended = [(await server.result(f"seen.{n}").state()).state for n in range(3)]

    assert states == [State.PENDING] * 3
    assert ended == [State.SUCCESS] * 3


async def test_steps_after_a_failed_one_read_cancelled(bench: Bench) -> None:
    server = bench.server
    await server.send(chain(bench.fail.s("no"), bench.add.p(1), bench.add.p(1)).options(id="broken"))
    with pytest.raises(TaskFailedError):
        await within(server.result("broken.2").get())

    assert (await server.result("broken.1").state()).state is State.CANCELLED


async def test_workflow_sent_twice_under_one_id_runs_once(bench: Bench) -> None:
    call = chain(bench.add.s(1, 1), bench.tell.p()).options(id="once")
    first, second = await asyncio.gather(bench.server.send(call), bench.server.send(call))

    await within(first.get())
    await within(second.get())
    await eventually(lambda: bool(bench.told))

    assert bench.told == [("tell", 2)]


async def test_ids_of_refused_workflows_are_free_for_others(bench: Bench) -> None:
    server = bench.server
    await server.send(bench.add.s(1, 1).options(id="taken.4", delay=3_600))
    members = group([bench.add.s(n, 1) for n in range(5)])
    with pytest.raises(SignatureError, match="choose another id"):
        await server.send_many([members.options(id="with"), members.options(id="taken")])
    results = [
        await server.send(chain(bench.add.s(1, 1), bench.add.p(1)).options(id=id)) for id in ("with", "taken")
    ]

    assert [await within(result.get()) for result in results] == [3, 3]
    assert [result.created for result in results] == [True, True]


async def test_group_is_awaited_while_some_have_ended_and_some_have_not(bench: Bench) -> None:
    result = await group([group([bench.add.s(1, 1), bench.slow.s(5)]), group([bench.add.s(2, 2)])]).send()

    with pytest.raises(ResultTimeoutError):
        await within(result.get(timeout=0.2))
    assert await within(result.get()) == [[2, 5], [4]]


async def test_failure_in_a_group_of_a_group_is_raised_and_shown(bench: Bench) -> None:
    result = await group([group([bench.add.s(1, 1), bench.fail.s("no")]), group([bench.add.s(2, 2)])]).send()

    with pytest.raises(TaskFailedError, match="no"):
        await within(result.get())
    outcomes: list[Any] = await within(result.get(errors="return"))
    (one, error), two = outcomes

    assert (one, two) == (2, [4])
    assert isinstance(error, TaskFailedError)


async def test_workflow_that_is_a_callback_goes_where_it_says(server: Server) -> None:
    bench = Bench(server)
    after = chain(bench.tell.p(), bench.tell.p()).options(queue="aside")
    async with server, server.worker():
        await server.send(bench.add.s(1, 1).options(on_success=after))
        await eventually(lambda: _waits(server, "aside"))
        async with server.worker(queues=["aside"]):
            await eventually(lambda: len(bench.told) == 2)


async def _waits(server: Server, queue: str) -> bool:
    (counts,) = await server.stores.broker.stats([queue])
    return counts.ready == 1

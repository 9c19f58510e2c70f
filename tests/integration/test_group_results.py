"""What is known of a group while it runs: its members as they end, and how many have."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aioqueue import Server, Signature, chord, group
from aioqueue.errors import ResultNotFoundError, TaskError, TaskFailedError
from aioqueue.models.stats import GroupCounts
from tests.support.waiting import eventually, within

pytestmark = pytest.mark.anyio


class Bench:
    """A Server with tasks that end when they are let, and a worker."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.let: defaultdict[int, asyncio.Event] = defaultdict(asyncio.Event)

        @server.task
        async def held(n: int) -> int:
            await self.let[n].wait()
            return n

        @server.task
        async def fail(n: int) -> int:
            raise ValueError(f"no {n}")

        @server.task
        async def total(xs: list[int]) -> int:
            return sum(xs)

        self.held, self.fail, self.total = held, fail, total

    def release(self, *numbers: int) -> None:
        for number in numbers:
            self.let[number].set()


@pytest.fixture
async def bench(server: Server) -> AsyncIterator[Bench]:
    """The Server, open, with a worker beside it."""
    bench = Bench(server)
    async with server, server.worker(concurrency=20):
        yield bench


async def test_members_come_as_they_end(bench: Bench) -> None:
    result = await bench.held.map([10, 11, 12]).send()
    seen: list[tuple[int, int]] = []

    async def look() -> None:
        async for number, value in result.as_completed():
            seen.append((number, value))
            bench.release(*{1: [10], 0: [12]}.get(number, []))

    bench.release(11)
    await within(look())

    assert seen == [(1, 11), (0, 10), (2, 12)]


async def test_members_come_by_id_from_anywhere(bench: Bench) -> None:
    result = await bench.held.map([10, 11]).send()
    bench.release(10, 11)

    elsewhere = bench.server.group_result(result.id)
    seen = await within(_all(elsewhere.as_completed()))

    assert sorted(seen) == [(0, 10), (1, 11)]
    assert await elsewhere.counts() == GroupCounts(total=2, completed=2, failed=0)


async def test_failed_member_comes_as_its_error_or_is_raised(bench: Bench) -> None:
    result = await group([bench.held.s(10), bench.fail.s(11)]).send()
    bench.release(10)

    seen = dict(await within(_all(result.as_completed(errors="return"))))
    with pytest.raises(TaskFailedError, match="no 11"):
        await within(_all(result.as_completed()))

    assert seen[0] == 10
    error = seen[1]
    assert isinstance(error, TaskError)
    assert (error.task_name, error.type) == ("fail", "ValueError")


async def test_group_that_fails_as_a_whole_raises_its_failure(bench: Bench) -> None:
    whole = group([bench.held.s(10), bench.fail.s(11)]).options(on_error=Signature(name="held", args=(0,)))
    result = await whole.send()

    with pytest.raises(TaskFailedError, match="no 11"):
        await within(_all(result.as_completed(errors="return")))
    bench.release(0, 10)


async def test_members_that_are_groups_come_whole(bench: Bench) -> None:
    inner = [group([bench.held.s(10), bench.held.s(11)]), group([bench.held.s(12)])]
    result = await group(inner).send()
    bench.release(12, 10, 11)

    assert sorted(await within(_all(result.as_completed()))) == [(0, [10, 11]), (1, [12])]
    assert await result.counts() == GroupCounts(total=2, completed=2, failed=0)


async def test_counts_grow_with_what_has_ended(bench: Bench) -> None:
    result = await group([bench.held.s(10), bench.fail.s(11), bench.held.s(12)]).send()

    async def has(completed: int, failed: int) -> bool:
        return await result.counts() == GroupCounts(total=3, completed=completed, failed=failed)

    await eventually(lambda: has(0, 1))
    bench.release(12)
    await eventually(lambda: has(1, 1))
    bench.release(10)
    await eventually(lambda: has(2, 1))

    assert await within(result.get(errors="return")) is not None


async def test_group_with_a_failure_inside_has_failed(bench: Bench) -> None:
    result = await group([group([bench.held.s(10), bench.fail.s(11)]), group([bench.held.s(10)])]).send()
    bench.release(10)

    await within(result.get(errors="return"))

    assert await result.counts() == GroupCounts(total=2, completed=1, failed=1)


async def test_empty_group_has_no_members_to_come(bench: Bench) -> None:
    nothing: list[Signature[int]] = []
    result: Any = await bench.server.send(group(nothing))

    assert await within(_all(result.as_completed())) == []
    assert await result.counts() == GroupCounts(total=0, completed=0, failed=0)


async def test_group_that_nobody_knows_is_told(bench: Bench) -> None:
    result = bench.server.group_result("nobody")

    with pytest.raises(ResultNotFoundError, match="nobody"):
        await result.counts()
    with pytest.raises(ResultNotFoundError, match="nobody"):
        await within(_all(result.as_completed()))


async def test_iteration_may_be_left_at_any_moment(bench: Bench) -> None:
    result = await bench.held.map([10, 11]).send()
    bench.release(10)

    async for number, value in result.as_completed():
        assert (number, value) == (0, 10)
        break
    bench.release(11)

    assert await within(result.get()) == [10, 11]


async def test_a_chord_may_end_in_a_group_that_is_followed(bench: Bench) -> None:
    ends = chord(group([bench.held.s(10)]), group([bench.total.p(), bench.total.p()]))
    result: Any = await ends.send()
    bench.release(10)

    assert sorted(await within(_all(result.as_completed()))) == [(0, 10), (1, 10)]


async def _all(members: AsyncIterator[tuple[int, Any]]) -> list[tuple[int, Any]]:
    return [found async for found in members]

"""Tasks that take the previous result as a stream, ``AsyncIterator[T]``, in every place where one can be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel

from aioqueue import Server, Signature, chain, chord, group
from aioqueue.errors import ConfigurationError, SignatureError, TaskError, TaskFailedError
from tests.support.waiting import eventually, within

pytestmark = pytest.mark.anyio


class Day(BaseModel):
    when: date


class Bench:
    """A Server with tasks, some of which take streams."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.go = asyncio.Event()
        self.told: list[Any] = []

        @server.task
        async def give(n: int) -> int:
            return n

        @server.task
        async def fail(n: int) -> int:
            raise ValueError(f"no {n}")

        @server.task
        async def rows(n: int) -> list[int]:
            return list(range(n))

        @server.task
        async def day(n: int) -> Day:
            return Day(when=date(2030, 1, n))

        @server.task
        async def summed(xs: AsyncIterator[int]) -> int:
            return sum([x async for x in xs])

        @server.task
        async def slowly(xs: AsyncIterable[int]) -> int:
            total = 0
            async for x in xs:
                await self.go.wait()
                total += x
            return total

        @server.task
        async def joined(mark: str, first: Day, days: AsyncIterator[Day], *, end: str = "") -> str:
            return mark.join([str(d.when) for d in [first, *[d async for d in days]]]) + end

        @server.task
        async def sound(xs: AsyncIterator[int | TaskError]) -> list[int | str]:
            return [x.message if isinstance(x, TaskError) else x async for x in xs]

        @server.task
        async def tell(what: Any) -> None:
            self.told.append(what)

        self.give, self.fail, self.rows, self.day, self.tell = give, fail, rows, day, tell
        self.summed, self.slowly, self.joined, self.sound = summed, slowly, joined, sound


@pytest.fixture
async def bench(server: Server) -> AsyncIterator[Bench]:
    """The Server, open, with a worker beside it."""
    bench = Bench(server)
    async with server, server.worker(concurrency=20):
        yield bench


async def test_callback_iterates_over_the_values_of_its_group(bench: Bench) -> None:
    result = await (bench.give.map(range(450)) | bench.summed.p()).send()

    assert await within(result.get(), deadline=30) == sum(range(450))


async def test_values_are_there_for_as_long_as_they_are_read(bench: Bench) -> None:
    members = bench.give.map(range(250)).options(result_ttl=0)
    whole = chain(members | bench.slowly.p(), bench.give.p(), bench.give.p())
    result = await whole.options(id="kept").send()
    await eventually(lambda: _started(bench.server, "kept.250"))
    await asyncio.sleep(0)
    bench.go.set()

    assert await within(result.get(), deadline=30) == sum(range(250))


async def test_items_are_validated_and_other_arguments_stand_beside(bench: Bench) -> None:
    days = group([bench.day.s(2), bench.day.s(3)])
    result = await (days | bench.joined.p("+", Day(when=date(2030, 1, 1)))).send()

    assert await within(result.get()) == "2030-01-01+2030-01-02+2030-01-03"


async def test_named_arguments_stand_beside_a_stream(bench: Bench) -> None:
    by_name = Signature(name="joined", args=("+", {"when": "2030-01-01"}), kwargs={"end": "!"})
    result = await bench.server.send(chord(group([bench.day.s(2)]), by_name))

    assert await within(result.get()) == "2030-01-01+2030-01-02!"


async def test_item_of_another_type_fails_the_task_and_is_named(bench: Bench) -> None:
    callback: Any = bench.summed.p()
    result: Any = await chord(group([bench.day.s(2)]), callback).send()

    with pytest.raises(TaskFailedError, match=r"summed\(\) item of 'xs': Input should be a valid integer"):
        await within(result.get())


async def test_errors_come_among_the_values_that_are_collected(bench: Bench) -> None:
    members = group([bench.give.s(1), bench.fail.s(2), bench.give.s(3)])
    result = await chord(members, bench.sound.p(), errors="collect").send()

    assert await within(result.get()) == [1, "no 2", 3]


async def test_error_is_no_item_where_the_type_says_so(bench: Bench) -> None:
    callback: Any = bench.summed.p()
    result: Any = await chord(group([bench.fail.s(2)]), callback, errors="collect").send()

    with pytest.raises(TaskFailedError, match=r"summed\(\) item of 'xs'"):
        await within(result.get())


async def test_list_that_a_call_returns_is_a_stream_too(bench: Bench) -> None:
    assert await within((await (bench.rows.s(4) | bench.summed.p()).send()).get()) == 6


async def test_callback_of_a_single_call_gets_its_list_as_a_stream(bench: Bench) -> None:
    await bench.rows.options(on_success=bench.summed.p().options(on_success=bench.tell.p())).send(4)

    await eventually(lambda: bench.told == [6])


async def test_what_is_no_list_is_no_stream(bench: Bench) -> None:
    link: Any = bench.summed.p()
    result: Any = await (bench.give.s(4) | link).send()

    with pytest.raises(TaskFailedError, match=r"'xs': a stream is made of a list of values, not of int"):
        await within(result.get())


async def test_empty_group_is_an_empty_stream(bench: Bench) -> None:
    nothing: list[Signature[int]] = []

    assert await within((await chord(group(nothing), bench.summed.p()).send()).get()) == 0


def test_stream_cannot_be_given() -> None:
    bench: Any = Bench(Server("memory://streams"))

    ways: list[Callable[[], object]] = [
        lambda: bench.summed.s([1]),
        lambda: bench.summed.s(xs=[1]),
        lambda: bench.joined.p("+", {"when": "2030-01-01"}, [1]),
    ]
    for make in ways:
        with pytest.raises(SignatureError, match="is a stream, which can only be the previous result"):
            make()


def test_sync_task_cannot_take_a_stream() -> None:
    server = Server("memory://streams")

    def count(xs: AsyncIterator[int]) -> int:
        return 0

    task: Any = server.register_task("count", count)

    with pytest.raises(ConfigurationError, match="'xs'; write it with async def, or let it take a list"):
        task.p()


def test_stream_has_to_be_positional() -> None:
    server = Server("memory://streams")

    async def count(*, xs: AsyncIterator[int]) -> int:
        return 0

    task: Any = server.register_task("count", count)

    with pytest.raises(ConfigurationError, match="task 'count': 'xs' is a stream; make it positional"):
        task.p()


async def test_items_that_say_nothing_of_their_type_come_as_they_are(server: Server) -> None:
    async def listed(xs: AsyncIterator) -> list[Any]:  # type: ignore[type-arg]  # it is the subject
        return [x async for x in xs]

    task: Any = server.register_task("listed", listed)
    bench = Bench(server)
    async with server, server.worker():
        result: Any = await (group([bench.day.s(2)]) | task.p()).send()

        assert await within(result.get()) == [{"when": "2030-01-02"}]


async def _started(server: Server, id: str) -> bool:
    return (await server.result(id).state()).started_at is not None

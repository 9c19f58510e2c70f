"""Tasks with ``spread=True``: each value they return is an argument of its own to what comes after them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from aioqueue import Server, Signature, chain, group
from aioqueue.errors import ConfigurationError, SignatureError, TaskFailedError
from tests.support.waiting import eventually, within

pytestmark = pytest.mark.anyio


class Point(NamedTuple):
    x: int
    y: int


class Bench:
    """A Server with tasks that return several values, and such as take them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.told: list[Any] = []

        @server.task(spread=True)
        async def halves(n: int) -> tuple[int, int]:
            return n // 2, n - n // 2

        @server.task
        async def pair(n: int) -> tuple[int, int]:
            return n, n

        @server.task(spread=True)
        def point(x: int, y: int) -> Point:
            return Point(x, y)

        @server.task(spread=True)
        async def anything(how: str):  # type: ignore[no-untyped-def]  # it is the subject
            return {"tuple": (1, [2]), "list": [1, 2], "set": (1, {2}), "none": ()}[how]

        @server.task
        async def listed(*xs: Any, last: Any = None) -> list[Any]:
            return [*xs, last] if last is not None else [*xs]

        @server.task
        async def tell(*xs: Any) -> None:
            self.told.append(list(xs))

        self.halves, self.pair, self.point, self.listed, self.tell = halves, pair, point, listed, tell
        self.anything: Any = anything
        self.link: Any = listed.p
        """For what the type checkers do not follow."""


@pytest.fixture
async def bench(server: Server) -> AsyncIterator[Bench]:
    """The Server, open, with a worker beside it."""
    bench = Bench(server)
    async with server, server.worker(concurrency=20):
        yield bench


async def test_awaiting_gives_the_tuple(bench: Bench) -> None:
    result = await bench.halves.send(5)

    assert await within(result.get()) == (2, 3)
    assert await within(bench.server.result(result.id).get()) == [2, 3]
    assert await within((await bench.point.send(1, 2)).get()) == Point(1, 2)


async def test_values_are_appended_in_order(bench: Bench) -> None:
    whole: Any = bench.halves.s(5) | bench.link("a", "b")

    assert await within((await whole.send()).get()) == ["a", "b", 2, 3]


async def test_values_are_prepended_in_order_and_named_arguments_are_kept(bench: Bench) -> None:
    first = Signature(name="listed", args=("a",), kwargs={"last": "z"}, takes="first")
    whole = chain(bench.halves.s(5), first)

    assert await within((await whole.send()).get()) == [2, 3, "a", "z"]


async def test_call_by_name_gets_the_values(bench: Bench) -> None:
    result = await bench.server.send(chain(Signature(name="point", args=(1, 2)), Signature(name="listed")))

    assert await within(result.get()) == [1, 2]


async def test_values_come_out_of_a_chain_within_a_chain(bench: Bench) -> None:
    inner = chain(bench.halves.s(5)).options(headers={"trace": "7"})
    whole: Any = chain(inner, bench.link("a"))

    assert await within((await whole.send()).get()) == ["a", 2, 3]


async def test_each_member_of_a_group_gets_the_values(bench: Bench) -> None:
    whole: Any = bench.halves.s(5) | group([bench.link("a"), bench.link("b")])

    assert await within((await whole.send()).get()) == [["a", 2, 3], ["b", 2, 3]]


async def test_tuple_of_any_other_task_is_one_value(bench: Bench) -> None:
    whole: Any = bench.pair.s(5) | bench.link("a")

    assert await within((await whole.send()).get()) == ["a", [5, 5]]


async def test_in_the_list_of_a_group_it_is_one_value(bench: Bench) -> None:
    members = group([bench.halves.s(5), bench.halves.s(7)])
    whole: Any = members | bench.link("a")

    assert await within((await members.send()).get()) == [(2, 3), (3, 4)]
    assert await within((await whole.send()).get()) == ["a", [[2, 3], [3, 4]]]


async def test_callbacks_get_the_values(bench: Bench) -> None:
    tell: Any = bench.tell.p
    await bench.halves.options(on_success=[tell("a"), chain(tell("b"), tell.__self__.s("c"))]).send(5)

    await eventually(lambda: len(bench.told) == 3)

    assert sorted(bench.told) == [["a", 2, 3], ["b", 2, 3], ["c"]]


async def test_call_that_takes_nothing_gets_no_values(bench: Bench) -> None:
    result: Any = await (bench.halves.s(5) | bench.listed.s("a")).send()

    assert await within(result.get()) == ["a"]


async def test_tuple_that_says_nothing_of_its_types_is_spread_too(bench: Bench) -> None:
    assert await within((await bench.anything.send("tuple")).get()) == (1, [2])
    for how, values in (("tuple", [1, [2]]), ("none", [])):
        result: Any = await (bench.anything.s(how) | bench.link("a")).send()

        assert await within(result.get()) == ["a", *values]


@pytest.mark.parametrize(
    ("how", "told"),
    [("list", "with spread=True it is a tuple, not list"), ("set", "set is not a JSON value")],
)
async def test_what_is_no_tuple_of_data_fails_the_task(bench: Bench, how: str, told: str) -> None:
    with pytest.raises(TaskFailedError, match=told):
        await within((await bench.anything.send(how)).get())


def test_task_that_returns_no_tuple_is_refused_when_it_is_registered() -> None:
    server = Server("memory://spread")

    with pytest.raises(ConfigurationError, match=r"one\(\) result: with spread=True it has to be a tuple"):

        @server.task(spread=True)
        async def one() -> int:
            return 1

    with pytest.raises(ConfigurationError, match=r"some\(\) result: with spread=True it has to be a tuple"):

        @server.task(spread=True)
        async def some() -> list[int] | None:
            return None


def test_annotation_that_looks_ahead_is_read_later() -> None:
    server = Server("memory://spread")

    @server.task(spread=True)
    async def ahead() -> Later:  # type: ignore[name-defined]  # noqa: F821 - it is the subject
        return 1

    late: Any = ahead
    late.definition.function.__globals__["Later"] = int
    try:
        with pytest.raises(ConfigurationError, match=r"ahead\(\) result: with spread=True"):
            late.s()
    finally:
        del late.definition.function.__globals__["Later"]


def test_value_that_was_kept_before_is_read_as_it_is() -> None:
    bench = Bench(Server("memory://spread"))

    assert bench.anything.definition.reading.read(3) == 3
    assert bench.anything.definition.reading.read([3]) == (3,)


def test_option_is_a_boolean() -> None:
    options: Any = {"spread": "yes"}

    with pytest.raises(ConfigurationError, match="option 'spread'"):
        Server("memory://spread").register_task("one", test_option_is_a_boolean, **options)


def test_value_that_does_not_fit_is_told() -> None:
    server = Server("memory://spread")
    bench = Bench(server)

    with pytest.raises(SignatureError, match="with spread=True it is a tuple, not int"):
        bench.halves.definition.schema.result.dump(3)

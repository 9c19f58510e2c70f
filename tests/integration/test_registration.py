"""What a task may be and be registered with: nonsense is refused where it is written, by name."""

from __future__ import annotations

import functools
import math
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from aioqueue import RetryPolicy, Router, Server
from aioqueue.errors import ConfigurationError, DuplicateTaskError, TaskFailedError
from tests.support.waiting import within

pytestmark = pytest.mark.anyio


def plain() -> int:
    return 1


async def one() -> int:
    return 1


class Callee:
    def __call__(self, x: int) -> int:
        return x

    async def method(self, x: int) -> int:
        return x


class WantsTwo:
    def __init__(self, x: int, y: int) -> None: ...


def syntax(x: "int |") -> None: ...  # type: ignore[valid-type]  # noqa: F722  # nonsense is the subject


def attribute(x: "math.nothing") -> None: ...  # type: ignore[name-defined]  # noqa: UP037  # nonsense is the subject


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("executor", "proces"),
        ("executor", 3),
        ("timeout", "1h"),
        ("timeout", -1),
        ("timeout", True),
        ("timeout", timedelta(seconds=-1)),
        ("timeout", math.inf),
        ("result_ttl", "1h"),
        ("result_ttl", math.nan),
        ("raises", "ValueError"),
        ("raises", KeyboardInterrupt),
        ("raises", (ValueError, 3)),
        ("raises", (int,)),
        ("raises", ValueError("x")),
        ("queue", "a b"),
        ("queue", ""),
        ("queue", 7),
        ("priority", 50),
        ("priority", -1),
        ("priority", "3"),
        ("priority", True),
        ("ignore_result", "yes"),
        ("ignore_result", 1),
        ("retry", 3),
        ("retry", {"max_retries": 3}),
    ],
)
def test_option_that_makes_no_sense_is_refused_by_name(option: str, value: object) -> None:
    router = Router()
    options: dict[str, Any] = {option: value}

    with pytest.raises(ConfigurationError, match=rf"^task 'mail.send': option '{option}': .*got"):
        router.register_task("mail.send", plain, **options)
    assert list(router) == []


def test_option_that_there_is_not_is_refused_with_those_there_are() -> None:
    options: dict[str, Any] = {"timeuot": 3}

    with pytest.raises(ConfigurationError, match=r"task 'plain': there is no option 'timeuot'; .*timeout"):
        Router().task(**options)(plain)


def test_options_are_kept_converted() -> None:
    policy = RetryPolicy(max_retries=1)
    router = Router()
    task = router.register_task(
        "plain", plain, timeout=timedelta(minutes=1), result_ttl=3, retry=policy, raises=ValueError
    )
    none: dict[str, Any] = {"timeout": None, "queue": None, "retry": None}
    router.register_task("nothing", plain, **none)

    kept: dict[str, Any] = {**router.registered("plain")}
    assert kept == {"timeout": 60.0, "result_ttl": 3.0, "retry": policy, "raises": (ValueError,)}
    assert (type(kept["timeout"]), type(kept["result_ttl"])) == (float, float)
    assert task.definition.raises == (ValueError,)
    assert router.registered("nothing") == {}


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (functools.partial(plain), "not an object of partial"),
        (Callee(), "not an object of Callee"),
        (WantsTwo, "not a class"),
        (Router().task(plain), "it is a task already"),
    ],
)
def test_what_is_no_function_is_refused(function: Callable[..., Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=f"task 'odd': .*{reason}"):
        Router().register_task("odd", function)


@pytest.mark.parametrize("function", [min, dict.update, syntax, attribute])
def test_what_cannot_be_read_is_told_when_it_is_first_used(function: Callable[..., Any]) -> None:
    task = Router().register_task("odd", function)

    with pytest.raises(ConfigurationError, match="task 'odd': its parameters and annotations cannot be read"):
        task.s()


async def letters(text: str) -> AsyncIterator[str]:
    for letter in text:
        yield letter


def parts(text: str) -> Iterator[str]:
    yield from text


async def test_async_generator_is_a_stream_and_still_a_function() -> None:
    task = Router().task(letters)

    assert type(task).__name__ == "StreamTask"
    assert [letter async for letter in task("ab")] == ["a", "b"]
    for options in ({"executor": "thread"}, {"spread": True}):
        with pytest.raises(ConfigurationError, match="letters"):
            Router().register_task("letters", letters, **options)


def test_generator_that_is_not_async_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigurationError, match=r"parts\(\) is a generator; write it with async def"):
        Router().task(parts)


async def test_methods_and_wrapped_functions_may_be_tasks(opened: Server) -> None:
    @functools.wraps(one)
    async def wrapped() -> int:
        return await one() + 1

    method = opened.register_task("method", Callee().method)
    around = opened.register_task("around", wrapped)

    async with opened.worker():
        assert await within((await method.send(3)).get()) == 3
        assert await within((await around.send()).get()) == 2


async def test_single_class_in_raises_comes_back_as_itself(opened: Server) -> None:
    @opened.task(raises=LookupError)
    async def fail() -> None:
        raise LookupError("no chairs")

    async with opened.worker():
        with pytest.raises(LookupError, match="no chairs"):
            await within((await fail.send()).get())


async def test_task_registered_after_its_router_was_included_is_run(opened: Server) -> None:
    inner, outer = Router("inner."), Router("outer.")
    outer.include(inner)
    opened.include(outer)

    async with opened.worker():

        @inner.task
        async def late() -> str:
            return "inner"

        outer.register_task("late", one, timeout=5)

        assert await within((await late.send()).get()) == "inner"
    assert [task.name for task in opened] == ["inner.late", "outer.late"]
    assert opened.registered("outer.late") == {"timeout": 5.0}
    assert opened.find("inner.late") is outer.find("inner.late") is late


def test_late_task_with_a_name_the_server_has_is_refused_where_it_is_written() -> None:
    server, router = Server("memory://late"), Router()
    server.include(router)
    server.register_task("one", one)

    with pytest.raises(DuplicateTaskError, match="there is a task 'one' already"):
        router.register_task("one", plain)
    assert list(router) == []


def test_router_with_a_name_the_server_has_is_not_included_at_all() -> None:
    server, router = Server("memory://half"), Router()
    router.register_task("plain", plain)
    router.register_task("one", one)
    server.register_task("one", one)

    with pytest.raises(DuplicateTaskError, match="there is a task 'one' already"):
        server.include(router)
    router.register_task("later", plain)

    assert [task.name for task in server] == ["one"]


def test_router_is_included_once() -> None:
    first, second, router = Server("memory://first"), Server("memory://second"), Router("mail.")
    first.include(router)

    for server in (first, second):
        with pytest.raises(
            ConfigurationError, match=r"prefix 'mail\.' belongs to a server or router already"
        ):
            server.include(router)
    with pytest.raises(ConfigurationError, match="belongs to a server"):
        second.include(first)


def test_router_cannot_include_itself() -> None:
    inner, outer = Router(), Router()
    outer.include(inner)

    for below in (inner, outer):
        with pytest.raises(ConfigurationError, match="cannot include itself"):
            below.include(outer)


async def test_failure_of_another_type_is_not_taken_for_a_listed_one(opened: Server) -> None:
    @opened.task(raises=(LookupError,))
    async def fail() -> None:
        raise KeyError("x")

    async with opened.worker():
        with pytest.raises(TaskFailedError):
            await within((await fail.send()).get())

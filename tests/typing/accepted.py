"""Code that must check in mypy --strict and pyright strict: the types a user sees, end to end.

Never run; ``make lint`` reads it, and ``test_types.py`` holds its counterpart to its errors.
"""

from __future__ import annotations

from typing import Any, assert_type

from aioqueue import AsyncResult, Link, RetryPolicy, Server, Signature

server = Server("memory://typing")


@server.task
async def add(x: int, y: int) -> int:
    return x + y


@server.task(queue="slow", retry=RetryPolicy(max_retries=3), timeout=5)
async def scale(factor: float, n: int) -> float:
    return n * factor


@server.task
def crunch(n: int) -> str:
    return str(n)


@server.task(executor="process")
def heavy(n: int, label: str = "x") -> bytes:
    return label.encode() * n


@server.task
async def many(*xs: int) -> int:
    return sum(xs)


@server.task
async def with_option(x: int, y: int, *, z: int = 3) -> int:
    return x + y + z


@server.task
async def alert(channel: str, message: str) -> None: ...


async def sending() -> None:
    assert_type(await add.send(1, 2), AsyncResult[int])
    assert_type(await (await add.send(1, 2)), int)
    assert_type(await (await crunch.send(1)).get(timeout=3), str)
    assert_type(await (await heavy.send(1, label="y")), bytes)
    assert_type(await (await scale.options(delay=10, queue="q").send(1.5, 2)), float)
    assert_type(await (await server.send(add.s(1, 2))), int)
    assert_type(await server.send_many([add.s(i, i) for i in range(3)]), list[AsyncResult[int]])
    assert_type(await (await server.send(Signature(name="sum", args=[[1, 2, 3]]))), Any)
    assert_type(await server.result("id"), Any)
    assert_type(await server.result("id", returns=int), int)
    assert_type(await add.result("id"), int)


async def calling() -> None:
    assert_type(await add(1, 2), int)
    assert_type(crunch(1), str)


assert_type(add.s(1, 2), Signature[int])
assert_type(add.s(x=1, y=2).options(expires=5), Signature[int])
assert_type(add.p(1), Link[int, int])
assert_type(scale.p(2.0), Link[int, float])
assert_type(crunch.p(), Link[int, str])
assert_type(with_option.p(1), Link[int, int])
assert_type(many.p(1, 2), Link[int, int])
add.s(1, 2).options(on_success=crunch.p(), on_error=alert.p("ops"))
add.options(on_error=[alert.p("ops"), Signature(name="page")], headers={"tenant": "7"})

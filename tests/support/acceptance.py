"""The tasks of the acceptance suite, and calls of them by name."""

from __future__ import annotations

import math
from typing import Any

from aioqueue import Group, Server, Signature, group


async def add(*numbers: int) -> int:
    return sum(numbers)


async def multiply(*numbers: int) -> int:
    return math.prod(numbers)


async def product(numbers: list[int]) -> int:
    return math.prod(numbers)


async def sum_ints(numbers: list[int]) -> int:
    return sum(numbers)


async def sum_floats(numbers: list[float]) -> float:
    return sum(numbers)


async def concat(texts: list[str]) -> str:
    return "".join(texts)


async def join(*texts: str) -> str:
    return "-".join(texts)


async def split(text: str) -> list[str]:
    return list(text)


async def return_just_error(text: str, fails: bool) -> None:
    if fails:
        raise ValueError(text)


async def return_multiple_values(one: str, two: str, fails: bool) -> tuple[str, str]:
    if fails:
        raise ValueError("no values")
    return one, two


async def panic() -> None:
    raise RuntimeError("oops")


TASKS = (
    add,
    multiply,
    product,
    sum_ints,
    sum_floats,
    concat,
    join,
    split,
    return_just_error,
    panic,
)


def register(server: Server) -> None:
    """Register all of them on *server*, each by its function's name."""
    server.register_tasks({task.__name__: task for task in TASKS})


def call(name: str, *args: Any, **fields: Any) -> Signature[Any]:
    """Return a call by name."""
    return Signature(name=name, args=args, **fields)


def sums() -> Group[int]:
    """Return the group that comes to 2, 4 and 11."""
    return group([call("add", 1, 1), call("add", 2, 2), call("add", 5, 6)])

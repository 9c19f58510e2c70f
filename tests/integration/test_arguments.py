"""Arguments and results are checked and converted at both ends, with the same words.

A call that does not fit is refused where it is made; sent by name, it fails with that text and
is never tried again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field

from aioqueue import RetryPolicy, Server, Signature
from aioqueue.errors import ConfigurationError, SignatureError, TaskFailedError
from aioqueue.models.state import State
from tests.support.waiting import within

pytestmark = pytest.mark.anyio

RETRIES = RetryPolicy(max_retries=3, backoff="constant", delay=0.0)


class Colour(Enum):
    RED = "red"


class Order(BaseModel):
    number: int
    placed: datetime


@dataclass
class Point:
    x: int
    raw: bytes


async def add(x: int, y: int = 2) -> int:
    return x + y


async def bounded(n: Annotated[int, Field(ge=3, le=5)]) -> int:
    return n


async def ratio(part: float) -> float:
    return part


async def signed(x: int, raw: bytes = b"", *, point: Point | None = None) -> int:
    return x


async def untyped(value, *, other=None):  # type: ignore[no-untyped-def]  # the absence of types is the subject
    return value


Call = tuple[tuple[Any, ...], dict[str, Any]]

WRONG: dict[str, tuple[Callable[..., Any], Call, str]] = {
    "a wrong type": (add, (("one", 2), {}), "add() argument 'x'"),
    "a number in a string": (add, (("1", 2), {}), "add() argument 'x'"),
    "a bool for a number": (add, ((1, True), {}), "add() argument 'y'"),
    "a missing argument": (add, ((), {"y": 1}), "add() argument 'x'"),
    "a surplus argument": (add, ((1, 2, 3), {}), "add() argument 'number 3'"),
    "a surplus argument beside a keyword": (
        signed,
        ((1, "", 3), {"point": None}),
        "signed() argument 'number 3'",
    ),
    "an unknown keyword": (add, ((1,), {"z": 3}), "add() argument 'z'"),
    "an argument given twice": (add, ((1,), {"x": 1}), "add() argument 'x'"),
    "an int below its constraint": (bounded, ((2,), {}), "bounded() argument 'n'"),
    "an int above its constraint": (bounded, ((6,), {}), "bounded() argument 'n'"),
}
UNSENDABLE: dict[str, tuple[Callable[..., Any], Call, str]] = {
    "NaN": (ratio, ((math.nan,), {}), "ratio() argument"),
    "infinity": (ratio, ((math.inf,), {}), "ratio() argument"),
    "NaN where nothing is annotated": (untyped, ((math.nan,), {}), "untyped() argument"),
    "NaN deep inside": (untyped, (({"a": [1, math.nan]},), {}), "untyped() argument"),
    "a value that is no data": (untyped, ((object(),), {}), "untyped() argument"),
    "a tuple that would come as a list": (untyped, (((1, 2),), {}), "untyped() argument"),
    "a key that would come as a string": (untyped, (({1: 2},), {}), "untyped() argument"),
    "an integer of more than 64 bits": (untyped, ((2**64,), {}), "untyped() argument"),
    "half a surrogate pair": (untyped, (("\ud800",), {}), "untyped() argument"),
}


@pytest.mark.anywhere
@pytest.mark.parametrize("case", WRONG)
async def test_call_that_does_not_fit_is_refused_naming_the_parameter(opened: Server, case: str) -> None:
    function, (args, kwargs), named = WRONG[case]
    task = opened.register_task(function.__name__, function)

    with pytest.raises(SignatureError) as refused:
        await task.send(*args, **kwargs)

    assert named in str(refused.value)
    assert [queue.ready for queue in await opened.stores.broker.stats(["default"])] == [0]


@pytest.mark.anywhere
@pytest.mark.parametrize("case", WRONG)
async def test_the_same_call_by_name_fails_with_the_same_text_and_is_not_tried_again(
    opened: Server, case: str
) -> None:
    function, (args, kwargs), _ = WRONG[case]
    task = opened.register_task(function.__name__, function, retry=RETRIES)
    with pytest.raises(SignatureError) as refused:
        task.s(*args, **kwargs)

    async with opened.worker():
        result = await opened.send(Signature(name=function.__name__, args=args, kwargs=kwargs))
        with pytest.raises(TaskFailedError) as failed:
            await within(result.get())
        state = await result.state()

    assert str(failed.value) == str(refused.value)
    assert (state.state, state.attempt) == (State.FAILURE, 1)


@pytest.mark.anywhere
@pytest.mark.parametrize("case", UNSENDABLE)
@pytest.mark.parametrize("by_name", [False, True], ids=["typed", "by name"])
async def test_what_cannot_be_data_is_refused_at_the_call(opened: Server, case: str, by_name: bool) -> None:
    function, (args, kwargs), named = UNSENDABLE[case]
    task = opened.register_task(function.__name__, function)

    with pytest.raises(SignatureError) as refused:
        if by_name:
            await opened.send(Signature(name=function.__name__, args=args, kwargs=kwargs))
        else:
            await task.send(*args, **kwargs)

    assert named in str(refused.value)
    assert [queue.ready for queue in await opened.stores.broker.stats(["default"])] == [0]


async def test_rich_values_arrive_as_they_were_sent(opened: Server) -> None:
    seen: list[tuple[Any, ...]] = []

    async def take(
        when: datetime,
        day: date,
        span: timedelta,
        key: UUID,
        price: Decimal,
        raw: bytes,
        colour: Colour,
        order: Order,
        points: list[Point] | None,
        counts: dict[int, set[int]],
        *rest: float,
        extra: bytes = b"",
        **more: str,
    ) -> Point:
        seen.append((when, day, span, key, price, raw, colour, order, points, counts, rest, extra, more))
        return Point(1, b"\xff\x00")

    task = opened.register_task("take", take)
    now = datetime.now(UTC)
    args = (
        now,
        now.date(),
        timedelta(seconds=1.5),
        UUID(int=7),
        Decimal("1.10"),
        b"\xff\x00",
        Colour.RED,
        Order(number=1, placed=now),
        [Point(2, b"\xfe")],
        {1: {2, 3}},
        1.5,
        2.5,
    )

    async with opened.worker():
        value = await within((await task.send(*args, extra=b"\x80", k="v")).get())

    assert seen == [(*args[:10], (1.5, 2.5), b"\x80", {"k": "v"})]
    assert value == Point(1, b"\xff\x00")


@pytest.mark.parametrize(
    "value",
    [185135722552891243, 2**64 - 1, -(2**63), 0.5, [True, False], ["a", "b"], None, [], {"a": {"b": [1]}}],
)
async def test_plain_values_survive_the_round_trip_unchanged(opened: Server, value: object) -> None:
    task = opened.register_task("untyped", untyped)

    async with opened.worker():
        returned = await within((await task.send(value)).get())

    assert returned == value
    assert type(returned) is type(value)


async def test_result_that_is_not_what_was_promised_is_a_failure(opened: Server) -> None:
    @opened.task
    async def promise() -> int:
        return "no number"  # type: ignore[return-value]  # the fault is the subject

    async with opened.worker():
        result = await promise.send()
        with pytest.raises(TaskFailedError, match=r"promise\(\) result: Input should be a valid integer"):
            await within(result.get())


async def test_result_of_a_call_by_name_is_read_by_its_registered_type(opened: Server) -> None:
    @opened.task
    async def where() -> Point:
        return Point(1, b"\xff")

    async with opened.worker():
        by_name = await opened.send(Signature(name="where"))

        assert await within(by_name.get()) == Point(1, b"\xff")
        assert await within(opened.result(by_name.id, returns=Point).get()) == Point(1, b"\xff")
        assert await within(where.result(by_name.id).get()) == Point(1, b"\xff")


async def test_annotation_that_cannot_be_data_is_told_at_the_start(opened: Server) -> None:
    @opened.task
    async def odd(value: Server) -> object:
        return value

    with pytest.raises(ConfigurationError, match="task 'odd': an annotation cannot be data"):
        async with opened.worker():
            pass


async def test_partial_call_checks_what_is_fixed_and_leaves_one_free(opened: Server) -> None:
    task = opened.register_task("add", add)

    assert task.p(1).signature.args == (1,)  # type: ignore[attr-defined]  # AnyTask hides .p
    with pytest.raises(SignatureError, match=r"add\(\) argument 'x'"):
        task.p("one")  # type: ignore[attr-defined]  # AnyTask hides .p
    with pytest.raises(SignatureError, match=r"none is left for the previous result"):
        task.p(1, 2)  # type: ignore[attr-defined]  # AnyTask hides .p
    with pytest.raises(ConfigurationError, match=r"add\.p\(\.\.\.\) still wants a previous result"):
        await opened.send(task.p(1))  # type: ignore[attr-defined]  # AnyTask hides .p

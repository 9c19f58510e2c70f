"""Code that must check in mypy --strict and pyright strict: the types a user sees, end to end.

Never run; ``make lint`` reads it, and ``test_types.py`` holds its counterpart to its errors.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from aioqueue import (
    AsyncResult,
    Chain,
    Chord,
    Context,
    Group,
    GroupResult,
    Link,
    Middleware,
    ProgressEvent,
    RetryPolicy,
    Server,
    Signature,
    State,
    StateEvent,
    StreamResult,
    ValueEvent,
    chain,
    chord,
    current,
    group,
)
from aioqueue.errors import TaskError
from aioqueue.middleware import Arguments, Calls, Run, Send, Sent
from aioqueue.models.signature import CallOptions

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
async def with_default(x: int, y: int = 2) -> int:
    return x + y


@server.task
async def alert(channel: str, message: str) -> None: ...


@server.task
async def tell(channel: str, what: object) -> None: ...


@server.task
async def heard(message: str) -> int:
    return len(message)


@server.task
async def total(xs: list[int]) -> int:
    return sum(xs)


@server.task
async def longest(xs: Sequence[str]) -> str:
    return max(xs, key=len)


@server.task
async def add_to(extra: int, xs: list[int]) -> int:
    return sum(xs, extra)


@server.task
async def streamed(xs: AsyncIterator[int]) -> float:
    return sum([x async for x in xs])


@server.task
async def sound(xs: list[int | TaskError]) -> int:
    return sum(x for x in xs if isinstance(x, int))


@server.task
async def rows(n: int) -> list[int]:
    return list(range(n))


@server.task
def weigh(xs: list[int]) -> float:
    return sum(xs) / 2


@server.task
async def planned_of(xs: list[int]) -> Signature[str]:
    return crunch.s(len(xs))


@server.task
def plan_of(xs: list[int], label: str = "x") -> Signature[str]:
    return crunch.s(len(xs))


@server.task
async def plan(n: int) -> Signature[str]:
    return crunch.s(n)


@server.task
def planned(n: int) -> Signature[int]:
    return add.s(n, n) | add.p(1)


@server.task(queue="slow")
async def spread(n: int) -> Group[int]:
    return group(add.s(i, i) for i in range(n))


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

# A callback of a success takes the value, one of an error the message; what takes nothing may be any.
add.options(on_success=scale.p(2.0), on_error=tell.p("ops"))
add.options(on_success=[crunch.p(), crunch.p() | heard.p(), add.s(1, 2), Signature(name="page")])
add.options(on_success=tell.p("ops"), on_error=[alert.s("ops", "it failed"), add.s(1, 2)])
add.p(1).options(on_success=crunch.p(), on_error=heard.p())
add.s(1, 2).options(on_error=(page.p() for page in [heard, heard]))
add.s(1, 2).options(on_error=heard.p() | scale.p(2.0))
add.s(1, 2).options(on_error=chord(group([heard.p(), heard.p()]), total.p()))
add.s(1, 2).options(on_error=crunch.s(1) | heard.p(), on_success=group([add.s(1, 2)]) | total.p())
add.s(1, 2).options(
    on_success=group([add.p(1), crunch.p()]), on_error=Signature(name="page").options(immutable=True)
)
rows.options(on_success=[total.p(), streamed.p(), weigh.p()])
callbacks: list[Signature | Link[int]] = [crunch.p(), add.s(1, 2)]
add.options(on_success=callbacks)
named: CallOptions = {"queue": "slow", "on_error": heard.p()}
add.options(**named)
add.s(1, 2).options(**named)
plan.options(on_success=heard.p())
group([add.s(1, 2)]).options(on_success=[total.p(), streamed.p()], on_error=heard.p())
chain(add.s(1, 2), group([add.p(1)])).options(on_success=streamed.p())
chord(group([add.s(1, 2)]), total.p()).options(on_success=scale.p(2.0), on_error=alert.p("ops"))
Signature(name="sum").options(on_success=crunch.p(), on_error=heard.p())


# One after another: the value of each is what the next one wants.
assert_type(add.s(1, 2) | add.p(1) | scale.p(2.0), Signature[float])
assert_type(add.s(1, 2) | add.p(1) | crunch.p(), Signature[str])
assert_type(add.s(1, 2) | add.s(3, 4), Signature[int])
assert_type(crunch.s(1) | add.s(3, 4) | scale.p(0.5), Signature[float])
assert_type(add.p(1) | crunch.p(), Link[int, str])
assert_type(add.p(1) | add.s(1, 2) | crunch.p(), Link[int, str])
assert_type((add.s(1, 2) | add.p(1)).options(queue="q", on_error=alert.p("ops")), Signature[int])
assert_type(Signature(name="sum") | add.p(1), Signature[int])

assert_type(chain(add.s(1, 2)), Chain[int])
assert_type(chain(add.s(1, 2), scale.p(2.0)), Chain[float])
assert_type(chain(add.s(1, 2), add.p(10), scale.p(2.0)), Chain[float])
assert_type(chain(add.s(1, 2), add.p(10), add.p(3), crunch.p()), Chain[str])
assert_type(chain(add.s(1, 2), add.p(1), add.p(2), add.p(3), crunch.p()), Chain[str])
assert_type(chain(add.s(1, 2), add.p(1), add.p(2), add.p(3), add.p(4), crunch.p()), Chain[Any])
assert_type(chain(crunch.s(1), add.s(1, 2), crunch.p()), Chain[str])
assert_type(chain(add.p(1)), Link[int, int])
assert_type(chain(add.p(1), scale.p(2.0)), Link[int, float])
assert_type(chain(add.p(1), add.p(2), crunch.p()), Link[int, str])
assert_type(chain(add.p(1), add.p(2), add.p(3), crunch.p()), Link[int, str])
assert_type(chain(crunch.p(), add.s(1, 2), add.p(3), add.p(4), crunch.p()), Link[int, str])
assert_type(chain(chain(add.s(1, 2), add.p(1)), chain(add.p(1), crunch.p())), Chain[str])
assert_type(chain(add.s(1, 2), crunch.p()) | heavy.s(3), Signature[bytes])

# At the same time, in the middle, nested, and gathered.
assert_type(group(add.s(i, i) for i in range(3)), Group[int])
assert_type(group([add.p(1), add.p(2)]), Link[int, list[int]])
assert_type(group(add.s(i, i) for i in range(3)) | total.p(), Signature[int])
assert_type(group([crunch.s(1), crunch.s(2)]) | longest.p(), Signature[str])
assert_type(add.s(1, 2) | group([add.p(1), add.p(2)]) | total.p(), Signature[int])
assert_type(chain(add.s(1, 2), group([add.p(1), add.p(2)]), total.p()), Chain[int])
assert_type(group([add.p(1), add.p(2)]) | total.p(), Link[int, int])
assert_type(group([group([add.s(1, 2)]), group([add.s(3, 4)])]), Group[list[int]])
assert_type(group([group([add.s(1, 2)]) | total.p(), add.s(1, 2) | add.p(3)]), Group[int])
assert_type(group([add.p(1) | crunch.p(), crunch.p()]), Link[int, list[str]])
assert_type(rows.s(3) | total.p(), Signature[int])
assert_type(chord(group(add.s(i, i) for i in range(3)), total.p()), Chord[int])
assert_type(chord(group([add.s(1, 2)]), add_to.p(1), errors="fail_fast"), Chord[int])
assert_type(chord(group([add.s(1, 2)]), crunch.s(1)), Chord[str])
assert_type(chord(group([add.s(1, 2)]), sound.p(), errors="collect"), Chord[int])
assert_type(chord(group([add.p(1)]), sound.p(), errors="collect"), Link[int, int])
assert_type(chord(group([add.s(1, 2)]), streamed.p()), Chord[float])
assert_type(group([add.s(1, 2)]) | streamed.p(), Signature[float])
assert_type(add.s(1, 2) | group([add.p(1), add.p(2)]) | streamed.p(), Signature[float])
assert_type(chord(group([add.p(1)]), total.p()), Link[int, int])
assert_type(chord(group([chord(group([add.s(1, 2)]), total.p())]), total.p()), Chord[int])
assert_type(group([add.s(1, 2)]).options(priority=5), Group[int])
assert_type(chain(add.s(1, 2)).options(id="once", delay=3), Chain[int])
assert_type(with_default.map([1, 2]), Group[int])
assert_type(crunch.map(range(3)), Group[str])
assert_type(crunch.map(range(3)) | longest.p(), Signature[str])
assert_type(total.chunks(range(10), 3), Group[int])
assert_type(longest.chunks(["a", "b"], size=1), Group[str])
assert_type(weigh.chunks([1, 2], 2), Group[float])
assert_type(planned_of.chunks([1, 2], 2), Group[str])
assert_type(plan_of.chunks([1, 2], 2), Group[str])
assert_type(total.chunks(range(10), 3) | total.p(), Signature[int])
assert_type(add.starmap([(1, 2), (3, 4)]), Group[int])
add.s(1, 2).options(on_success=chain(crunch.p(), longest.s(["a"])), on_error=[group([alert.p("ops")])])

# A task that returns a call or a workflow is a task of what that returns.
assert_type(plan.s(1), Signature[str])
assert_type(plan.p(), Link[int, str])
assert_type(planned.s(1), Signature[int])
assert_type(planned.p() | crunch.p(), Link[int, str])
assert_type(spread.s(3) | total.p(), Signature[int])
assert_type(plan.s(1) | heavy.s(2), Signature[bytes])
assert_type(planned(1), Signature[int])
assert_type(plan.map([1, 2]), Group[str])


async def gathering() -> None:
    assert_type(await server.send(group([add.s(1, 2)]), concurrency=2), GroupResult[int])
    assert_type(await server.send(total.chunks([1], 1)), GroupResult[int])
    assert_type(await group([add.s(1, 2)]).send(concurrency=2), GroupResult[int])
    assert_type(await chain(add.s(1, 2)).send(concurrency=2), AsyncResult[int])
    assert_type(await chord(group([add.s(1, 2)]), total.p()).send(concurrency=2), AsyncResult[int])
    results = await group([add.s(1, 2)]).send()
    async for number, value in results.as_completed():
        assert_type(number, int)
        assert_type(value, int)
    async for _, outcome in results.as_completed(errors="return"):
        assert_type(outcome, int | TaskError)
    assert_type((await results.counts()).failed, int)


async def planning() -> None:
    assert_type(await plan(1), Signature[str])
    assert_type(await (await plan.send(1)), str)
    assert_type(await (await planned.send(1)), int)
    assert_type(await (await spread.send(1)), list[int])
    assert_type(await (await server.send(add.s(1, 2) | crunch.p())), str)
    assert_type(await (await server.send(group([add.s(1, 2)]))), list[int])
    assert_type(await (await server.send(chord(group([add.s(1, 2)]), total.p()))), int)


@server.periodic("@daily", tz="Europe/London", misfire="all", catch_up=3)
async def tidy() -> int:
    return 1


@server.periodic(timedelta(hours=1), jitter=30.0, overlap="skip")
def sweep(label: str = "x") -> str:
    return label


@server.periodic(60)
@server.task(queue="slow")
async def polled(n: int = 1) -> bytes:
    return b"x" * n


@server.periodic("@hourly")
async def planned_hourly() -> Signature[str]:
    return crunch.s(1)


async def scheduling() -> None:
    assert_type(await tidy(), int)
    assert_type(await (await tidy.send()), int)
    assert_type(sweep("y"), str)
    assert_type(await (await sweep.send()), str)
    assert_type(await polled(2), bytes)
    assert_type(await (await polled.send(2)), bytes)
    assert_type(await (await planned_hourly.send()), str)
    server.schedule("a", "*/5 * * * *", chain(add.s(1, 2), add.p(3)), tz="Asia/Tokyo")
    server.schedule("b", datetime.now(UTC), tidy)
    assert_type((await server.schedules.add("c", 3.5, add.s(1, 2))).next_at, float | None)
    assert_type((await server.schedules.next("c", 2))[0], datetime)


# An async generator: its values are followed, its result is their count.
@server.task
async def lines(n: int) -> AsyncIterator[str]:
    for i in range(n):
        yield str(i)


@server.task(queue="slow", timeout=5)
async def pages(size: int, n: int) -> AsyncGenerator[list[int]]:
    for i in range(n):
        current().progress(i, n, "a page")
        yield [i] * size


async def following() -> None:
    result = await lines.send(3)
    assert_type(result, StreamResult[str])
    assert_type(await result, int)
    async for event in result.events(after="0.0.0.0.0"):
        assert_type(event, StateEvent | ProgressEvent | ValueEvent[str])
        if isinstance(event, ValueEvent):
            assert_type(event.value, str)
        elif event.kind == "state":
            assert_type(event.state, State)
        else:
            assert_type(event.done, float | None)
    async for paged in pages.options(delay=1).result("id").events():
        if isinstance(paged, ValueEvent):
            assert_type(paged.value, list[int])
    async for told in (await add.send(1, 2)).events():
        assert_type(told, StateEvent | ProgressEvent | ValueEvent[Any])
    assert_type(lines(3), AsyncIterator[str])
    assert_type(lines.p(), Link[int, int])
    assert_type(lines.s(1) | pages.p(2) | add.p(1), Signature[int])
    assert_type(lines.map([1, 2]), Group[int])
    lines.options(on_success=crunch.p(), on_error=heard.p())
    assert_type(await (await lines.s(3).send()), int)


# Written by hand, as a process without the task's code does.
assert_type(Chain(steps=[Signature(name="a"), Group(members=[])]), Chain[Any])
assert_type(Chord(group=Group(members=[]), callback=Signature(name="b")), Chord[Any])


# Middleware overrides either hook, under names of its own.
class Tracing(Middleware):
    async def send(self, calls: Calls, go_on: Send, /) -> Sent:
        return await go_on([call.options(headers={"trace": call.name}) for call in calls])

    async def run(self, context: Context, arguments: Arguments, go_on: Run, /) -> Any:
        assert_type(arguments.args, tuple[Any, ...])
        return await go_on(arguments)


traced = Server("memory://traced", middleware=[Tracing()])
traced.add_middleware(Tracing())

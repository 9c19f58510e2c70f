"""Unique tasks as their senders have them: keys, conflicts, and what cannot be unique."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from aioqueue import AsyncResult, Router, Server, Signature, State, chain
from aioqueue.errors import ConfigurationError, SignatureError, TaskCancelledError, UniqueConflictError
from aioqueue.ids import new_id
from aioqueue.testing import VirtualClock
from tests.support.waiting import within

pytestmark = pytest.mark.anyio


async def pay(order: int, note: str = "") -> int:
    return order


def unique(server: Server, **options: Any) -> Any:
    return server.register_task("pay", pay, **{"unique": "until_done", **options})


async def test_of_a_thousand_concurrent_sends_one_runs_and_all_have_its_result(opened: Server) -> None:
    task = unique(opened)

    results = await asyncio.gather(*(task.send(1) for _ in range(1_000)))
    async with opened.worker():
        values = await within(asyncio.gather(*(result.get() for result in results[:10])))

    assert [result.created for result in results].count(True) == 1
    assert len({result.id for result in results}) == 1
    assert {result.held_by for result in results} == {None, results[0].id}
    assert set(values) == {1}


async def test_arguments_are_the_key_however_they_are_given(opened: Server) -> None:
    task = unique(opened)

    results = [await task.send(1, "x"), await task.send(1, note="x"), await task.send(note="x", order=1)]
    others = [await task.send(2, "x"), await task.send(1)]

    assert [result.created for result in results] == [True, False, False]
    assert [result.created for result in others] == [True, True]


async def test_objects_among_the_arguments_are_the_key_in_any_order(opened: Server) -> None:
    call = Signature(name="pay", unique="until_done")

    first, second = await opened.send_many(
        [call.with_arguments([{"a": 1, "b": 2}], {}), call.with_arguments([{"b": 2, "a": 1}], {})]
    )

    assert (first.created, second.created) == (True, False)


@pytest.mark.parametrize("key", ["order-{order}", lambda order, note="": f"order-{order}"])
async def test_key_is_made_of_some_arguments(opened: Server, key: str | Callable[..., str]) -> None:
    task = unique(opened, unique_key=key)

    results = [await task.send(1, "x"), await task.send(1, "y"), await task.send(2)]

    assert [result.created for result in results] == [True, False, True]


async def test_key_of_one_task_is_none_of_another(opened: Server) -> None:
    other = opened.register_task("refund", pay, unique="until_done", unique_key="{order}")

    results = [await unique(opened, unique_key="{order}").send(1), await other.send(1)]

    assert [result.created for result in results] == [True, True]


async def test_options_of_one_call_say_all_of_it(opened: Server) -> None:
    task = opened.register_task("pay", pay)
    keyed = task.options(unique="until_started", unique_key="{order}", unique_for=60)

    results = [await keyed.send(1), await keyed.send(1, "x"), await task.send(1), await keyed.send(2)]
    long = [await keyed.options(unique_key="x" * 500).send(n) for n in range(2)]

    assert [result.created for result in results] == [True, False, True, True]
    assert [result.created for result in long] == [True, False]


async def test_conflict_is_an_error_that_names_the_task(opened: Server) -> None:
    task = unique(opened)
    first = await task.send(1)

    with pytest.raises(UniqueConflictError, match=first.id) as caught:
        await task.options(on_conflict="raise").send(1)

    assert caught.value.task_id == first.id


async def test_conflict_in_a_batch_is_an_error_that_has_all_results(opened: Server) -> None:
    task = unique(opened, on_conflict="raise")
    first = await task.send(1)

    with pytest.raises(UniqueConflictError) as caught:
        await opened.send_many([task.s(1), task.s(2)])

    held, sent = caught.value.results
    assert (held.created, held.held_by) == (False, first.id)
    assert (sent.created, (await sent.state()).state) == (True, State.PENDING)


async def test_dropped_call_says_so_and_so_does_awaiting_it(opened: Server) -> None:
    task = unique(opened, on_conflict="drop")
    first = await task.send(1)

    dropped = await task.send(1)

    assert dropped.id != first.id
    assert (dropped.created, dropped.held_by) == (False, first.id)
    with pytest.raises(UniqueConflictError, match="dropped"):
        await within(dropped.get())
    assert not await dropped.cancel()


async def test_task_that_is_replaced_is_cancelled_while_it_runs(opened: Server) -> None:
    begun = asyncio.Event()
    ended: list[int] = []

    @opened.task(unique="until_done", unique_key="one", on_conflict="replace")
    async def last(n: int) -> int:
        begun.set()
        if n == 1:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(n)
        return n

    first = await last.send(1)
    async with opened.worker():
        await within(begun.wait())
        second = await last.send(2)

        assert await within(second.get()) == 2
        with pytest.raises(TaskCancelledError):
            await within(first.get())
    assert second.created
    assert ended == [1]


async def test_task_that_ignores_its_result_has_its_key_until_it_has_ended(opened: Server) -> None:
    task = unique(opened, ignore_result=True)

    before = [(await task.send(1)).created for _ in range(2)]
    await within(opened.worker().run(until_idle=True))

    assert before == [True, False]
    assert (await task.send(1)).created


@pytest.mark.parametrize("where", ["chain", "callback", "callback of a chain", "of a callback"])
async def test_call_that_is_released_later_cannot_be_unique(opened: Server, where: str) -> None:
    task, plain = unique(opened), Signature(name="plain", takes="none")
    calls: dict[str, Callable[[], Signature[Any]]] = {
        "chain": lambda: chain(plain, task.s(1)),
        "callback": lambda: plain.options(on_success=task.s(1)),
        "callback of a chain": lambda: chain(plain, plain).options(on_error=task.s(1)),
        "of a callback": lambda: plain.options(on_success=plain.options(on_error=task.s(1))),
    }
    call = calls[where]()

    with pytest.raises(SignatureError, match="unique=None"):
        await opened.send(call)

    assert (await opened.send(chain(plain, task.options(unique=None).s(1)))).created


def test_workflow_cannot_be_unique() -> None:
    call = Signature(name="plain", takes="none")

    with pytest.raises(SignatureError, match="unique belongs to one call"):
        chain(call, call).options(unique="until_done")


async def test_unique_call_may_have_callbacks(opened: Server) -> None:
    opened.register_task("done", pay)
    task = unique(opened).options(on_success=Signature(name="done"))

    first, second = await task.send(1), await task.send(1)
    await within(opened.worker().run(until_idle=True))

    assert second.id == first.id
    assert await within(opened.result(f"{first.id}.s0").get()) == 1


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("{nothing}", "cannot be made"),
        ("{order", "cannot be made"),
        (lambda order: 7, "is to come to a text"),
        (lambda: "x", "cannot be made"),
    ],
)
async def test_key_that_cannot_be_made_is_an_error_that_names_it(
    opened: Server, key: str | Callable[..., str], message: str
) -> None:
    with pytest.raises(SignatureError, match=message):
        await unique(opened, unique_key=key).send(1)


@pytest.mark.parametrize(
    "options", [{"unique": "for ever"}, {"unique_key": 7}, {"on_conflict": "wait"}, {"unique_for": -1}]
)
def test_option_that_is_none_is_told_at_the_decorator(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Router().task(**options)(pay)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def held(clock: VirtualClock) -> AsyncIterator[Server]:
    """A Server in memory whose time is the test's own."""
    async with Server(f"memory://{new_id()}", clock=clock) as server:
        yield server


async def test_debounced_calls_become_one_with_the_last_arguments(held: Server, clock: VirtualClock) -> None:
    task = held.register_task("save", pay, debounce=5, debounce_max=12, unique_key="document")
    results: list[AsyncResult[Any]] = []
    due: list[float] = []
    for n in range(4):
        results.append(await task.send(n))
        due.append(((await results[-1].state()).next_at or 0.0) - clock.time())
        await clock.advance(4)

    await within(held.worker().run(until_idle=True))

    assert due == pytest.approx([5, 5, 4, 0], abs=0.01)
    assert [result.created for result in results] == [True, False, False, False]
    assert [await within(result.get()) for result in results] == [3, 3, 3, 3]
    assert (await task.send(9)).created


async def test_debounce_of_one_call_is_ten_times_itself_at_most(held: Server, clock: VirtualClock) -> None:
    task = held.register_task("save", pay).options(debounce=timedelta(seconds=1), unique_key="document")
    first = await task.send(1)
    for n in range(20):
        await clock.advance(0.9)
        result = await task.send(n)

    assert first.created
    assert result.id == first.id
    assert (await first.state()).next_at == pytest.approx(clock.time() - 8, abs=0.01)


@pytest.mark.parametrize("options", [{"unique": "until_done"}, {"on_conflict": "drop"}])
async def test_debounce_says_itself_what_becomes_of_a_second_call(held: Server, options: Any) -> None:
    task = held.register_task("save", pay, debounce=5, **options)

    with pytest.raises(SignatureError, match="debounce"):
        await task.send(1)


async def test_debounced_call_cannot_be_in_a_workflow(held: Server) -> None:
    task = held.register_task("save", pay, debounce=5)

    with pytest.raises(SignatureError, match="debounce=None"):
        await held.send(chain(task.s(1), task.s(2)))

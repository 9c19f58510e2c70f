"""The acceptance suite of machinery, the task queue for Go, on every pair of stores; ids are its numbers.

M are the tests of its own suite, X what its examples show.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from aioqueue import (
    Context,
    GroupResult,
    Middleware,
    Retry,
    RetryPolicy,
    Server,
    Signature,
    chain,
    chord,
    current,
    group,
)
from aioqueue.errors import ResultNotFoundError, ResultTimeoutError, TaskFailedError
from aioqueue.ids import new_id
from aioqueue.middleware import Arguments, Run
from aioqueue.models.state import State
from aioqueue.testing import VirtualClock
from aioqueue.urls import redacted
from tests.support import redis_server
from tests.support.acceptance import add as add_numbers
from tests.support.acceptance import call, multiply, product, register, return_multiple_values, sums
from tests.support.redis_server import HOST, RedisServer
from tests.support.stores import missing
from tests.support.waiting import eventually, passing, within

pytestmark = pytest.mark.anyio

PASSWORD = "p:a@ss"

SCALE = 0.02
"""Seconds of a store that keeps its own time for one of the schedule."""

Values = tuple[int, int, float, list[bool], list[str], list[int] | None, bytes]


def fibonacci(first: float = 0.0, retries: int = 3) -> RetryPolicy:
    """Return the policy that pauses for Fibonacci numbers of seconds above *first*."""
    return RetryPolicy(max_retries=retries, backoff="fibonacci", delay=first, jitter=False)


async def test_m01_one_result_of_one_task(served: Server) -> None:
    result = await served.send(call("add", 1, 1))

    value = await within(result.get())

    assert (type(value), value) == (int, 2)


async def test_m02_sum_of_a_list(served: Server) -> None:
    short = await served.send(call("sum_ints", [1, 2]))
    long = await served.send(call("sum_ints", list(range(1, 11))))

    assert await within(short.get()) == 3
    assert await within(long.get()) == 55


async def test_m03_group_in_order(served: Server) -> None:
    result = await served.send(sums())
    values = await within(result.get())

    assert isinstance(result, GroupResult)
    assert values == [2, 4, 11]


async def test_m04_group_sent_two_at_a_time(server: Server) -> None:
    add = server.task(add_numbers)
    members = group([add.s(1, 1), add.s(2, 2), add.s(5, 6)])
    async with server, server.worker():
        named = await server.send(sums(), concurrency=2)
        typed = await members.send(concurrency=2)

        assert await within(named.get()) == [2, 4, 11]
        assert await within(typed.get()) == [2, 4, 11]


async def test_m05_chord(server: Server) -> None:
    add, times = server.task(add_numbers), server.task(product)
    members = group([add.s(1, 1), add.s(2, 2), add.s(5, 6)])
    async with server, server.worker():
        named = await server.send(chord(sums(), call("product")), concurrency=10)
        typed = await (members | times.p()).send()

        assert await within(named.get()) == 88
        assert await within(typed.get()) == 88


async def test_m06_chain_by_name_and_typed(server: Server) -> None:
    add, times = server.task(add_numbers), server.task(multiply)
    async with server, server.worker():
        named = await server.send(chain(call("add", 2, 2), call("add", 5, 6), call("multiply", 4)))
        typed = await chain(add.s(2, 2), add.p(5, 6), times.p(4)).send()

        assert await within(named.get()) == 60
        assert await within(typed.get()) == 60


async def test_m07_error_says_what_the_task_said(served: Server) -> None:
    result = await served.send(call("return_just_error", "Test error", True))

    with pytest.raises(TaskFailedError) as failed:
        await within(result.get())
    state = await result.state()

    assert str(failed.value) == "Test error"
    assert (state.state, state.result) == (State.FAILURE, None)


async def test_m08_task_without_a_value_comes_to_none(served: Server) -> None:
    result = await served.send(call("return_just_error", "", False))

    assert await within(result.get()) is None
    assert (await result.state()).state is State.SUCCESS


async def test_m09_several_values_are_a_tuple_and_an_argument_each(served: Server) -> None:
    pair = served.task(spread=True)(return_multiple_values)

    result = await pair.send("foo", "bar", False)
    joined = await served.send(chain(pair.s("foo", "bar", False), call("join", "first")))

    assert await within(result.get()) == ("foo", "bar")
    assert await within(joined.get()) == "first-foo-bar"


async def test_m10_several_values_that_fail_are_an_error(served: Server) -> None:
    pair = served.task(spread=True)(return_multiple_values)

    result = await pair.send("", "", True)

    with pytest.raises(TaskFailedError, match=r"^no values$"):
        await within(result.get())
    assert (await result.state()).result is None


async def test_m11_worker_survives_a_panic(served: Server) -> None:
    result = await served.send(call("panic"))

    with pytest.raises(TaskFailedError) as failed:
        await within(result.get())
    after = await served.send(call("add", 1, 1))

    assert str(failed.value) == "oops"
    assert await within(after.get()) == 2


async def test_m12_task_runs_no_earlier_than_its_eta(served: Server) -> None:
    @served.task
    async def delay_test() -> float:
        return time.time()

    eta = datetime.now(UTC) + timedelta(milliseconds=100)
    result = await delay_test.options(eta=eta).send()

    assert await within(result.get()) >= eta.timestamp()


async def test_m12_task_runs_at_its_eta() -> None:
    clock = VirtualClock()
    async with Server(f"memory://{new_id()}", clock=clock) as server:

        @server.task
        async def delay_test() -> float:
            return clock.time()

        eta = datetime.fromtimestamp(clock.time() + 0.1, UTC)
        async with server.worker():
            result = await delay_test.options(eta=eta).send()

            assert await passing(clock, result.get()) == eta.timestamp()


async def test_m13_two_programs_with_different_tasks_share_a_queue(server: Server) -> None:
    adding, multiplying = (Server(server.settings.broker, backend=server.settings.backend) for _ in range(2))
    adding.register_task("add", add_numbers)
    multiplying.register_task("multiply", multiply)
    calls = group([call("multiply", 4, 5), call("add", 2, 3)])
    async with adding, multiplying, adding.worker(), multiplying.worker():
        result = await adding.send(calls, concurrency=10)

        assert await within(result.get()) == [20, 5]


async def test_m14_what_waits_is_seen_in_order_until_it_has_run(opened: Server) -> None:
    register(opened)
    results = await opened.send_many([call("add", 1, 2), call("add", 3, 5), call("add", 6, 7)])
    waiting = (await opened.queue("default").pending(bodies=True)).entries

    async with opened.worker():
        values = [await within(result.get()) for result in results]
        await eventually(lambda: _is_empty(opened))
    left = (await opened.queue("default").pending()).entries

    seen = [(entry.id, entry.name, orjson.loads(entry.body or b"")["a"]) for entry in waiting]
    assert seen == [
        (result.id, "add", numbers) for result, numbers in zip(results, ([1, 2], [3, 5], [6, 7]), strict=True)
    ]
    assert (values, left) == ([3, 8, 13], ())


async def test_m15_nothing_waits_in_an_empty_queue(opened: Server) -> None:
    (counts,) = await opened.stores.broker.stats(["default"])

    assert (counts.ready, counts.delayed, counts.held) == (0, 0, 0)


async def test_m16_results_need_no_time_to_pass() -> None:
    async with Server(f"memory://{new_id()}", clock=VirtualClock()) as server:
        register(server)
        async with server.worker():
            assert await within((await server.send(call("add", 1, 1))).get()) == 2
            assert await within((await server.send(call("sum_ints", [1, 2]))).get()) == 3


@pytest.mark.parametrize("step", [0.01, 600.0])
async def test_m16_results_are_right_however_time_passes(step: float) -> None:
    clock = VirtualClock()
    async with Server(f"memory://{new_id()}", clock=clock) as server:
        register(server)
        # its heart beats by the machine's time, which is not moved
        async with server.worker(lease=86_400.0):
            for wanted in (call("add", 1, 1), call("sum_ints", [1, 1])):
                result = await server.send(wanted.options(delay=3 * step))

                assert await passing(clock, result.get(), seconds=10 * step, step=step) == 2


async def test_m17_worker_that_is_told_to_stop_as_it_starts_ends(server: Server) -> None:
    register(server)
    async with server:
        for _ in range(3):
            worker = server.worker()
            running = asyncio.create_task(worker.run())
            await asyncio.sleep(0)
            await within(worker.stop())
            await within(running)
        result = await server.send(call("add", 1, 1))
        async with server.worker():
            assert await within(result.get()) == 2


async def test_m18_worker_that_waits_for_tasks_ends_within_a_second(opened: Server) -> None:
    """The least of some rounds: what is above that is the machine's."""
    took: list[float] = []
    while len(took) < 5 and min(took, default=1.0) >= 1.0:
        async with opened.worker() as worker:
            began = time.monotonic()
            await within(worker.stop())
            took.append(time.monotonic() - began)

    assert min(took) < 1.0


async def test_m19_hook_before_a_task_is_run_is_invoked(served: Server) -> None:
    seen: list[tuple[str, tuple[Any, ...]]] = []

    class Hook(Middleware):
        async def run(self, context: Context, arguments: Arguments, next: Run, /) -> Any:
            seen.append((context.task_name, arguments.args))
            return await next(arguments)

    served.add_middleware(Hook())
    result = await served.send(call("add", 1, 1))

    assert await within(result.get()) == 2
    assert seen == [("add", (1, 1))]


@pytest.mark.parametrize("hosts", ["dead,live", "live,dead"])
async def test_m20_live_one_of_several_hosts_is_connected_to(hosts: str) -> None:
    binary = redis_server.debian() or missing("redis-server", "it is not installed")
    with RedisServer(binary) as living:
        ports = {"live": living.port, "dead": redis_server.free_port()}
        named = ",".join(f"{HOST}:{ports[host]}" for host in hosts.split(","))
        server = Server(f"redis://{named}/0?namespace={new_id()}")
        register(server)

        async with server, server.worker():
            result = await within(server.send(call("add", 1, 1)))

            assert await within(result.get()) == 2


async def test_m21_worker_beside_its_sender_gives_the_right_types(server: Server) -> None:
    called: list[float] = []

    @server.task
    async def float_called(x: float) -> None:
        called.append(x)

    @server.task
    async def float_result(x: float) -> float:
        return 2 * x

    @server.task
    async def int_result(x: int) -> int:
        return 2 * x

    async with server, server.worker():
        await within((await float_called.send(100.0)).get())
        one = await within((await float_result.send(100.0)).get())
        other = await within((await int_result.send(100)).get())

    assert repr((called, one, other)) == "([100.0], 200.0, 200)"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis server with a socket in the test's folder, that wants PASSWORD, of anybody or of a user."""
    binary = redis_server.debian() or missing("redis-server", "it is not installed")
    with RedisServer(binary, options=("--unixsocket", str(tmp_path / "r.sock"))) as server:
        server.command("ACL", "SETUSER", "worker", "on", f">{PASSWORD}", "~*", "&*", "+@all")
        server.command("CONFIG", "SET", "requirepass", PASSWORD)
        yield server


URLS: dict[str, Callable[[int, Path], str]] = {
    "password": lambda port, folder: f"redis://:p%3Aa%40ss@{HOST}:{port}",
    "password as it is": lambda port, folder: f"redis://:{PASSWORD}@{HOST}:{port}/0",
    "user and database": lambda port, folder: f"redis://worker:p%3Aa%40ss@{HOST}:{port}/3",
    "user and password as it is": lambda port, folder: f"redis://worker:{PASSWORD}@{HOST}:{port}",
    "socket": lambda port, folder: f"unix://:p%3Aa%40ss@{folder}/r.sock",
    "socket, user and database": lambda port, folder: f"unix://worker:p%3Aa%40ss@{folder}/r.sock?db=3",
}


@pytest.mark.parametrize("form", URLS)
async def test_m22_url_of_redis_connects(guarded: RedisServer, tmp_path: Path, form: str) -> None:
    server = Server(URLS[form](guarded.port, tmp_path))
    register(server)

    async with server, server.worker():
        result = await server.send(call("add", 1, 1))

        assert await within(result.get()) == 2


async def test_x01_arguments_and_values_of_every_kind(served: Server) -> None:
    calls = [
        call("add", 1, 1),
        call("sum_ints", [1, 2]),
        call("sum_floats", [1.5, 2.7]),
        call("concat", ["foo", "bar"]),
        call("split", "foo"),
    ]

    results = await served.send_many(calls)
    values = [await within(result.get()) for result in results]

    assert values == [2, 3, pytest.approx(4.2), "foobar", ["f", "o", "o"]]


async def test_x02_chains_and_a_chord(served: Server) -> None:
    longer = call("add", 1, 1) | call("add", 2, 2) | call("add", 5, 6) | call("multiply", 4)
    shorter = call("add", 1, 1) | call("add", 5, 5) | call("multiply", 4)
    both = chord(group([call("add", 1, 1), call("add", 5, 5)]), call("product"))

    results = [await served.send(workflow) for workflow in (longer, shorter, both)]

    assert [await within(result.get()) for result in results] == [68, 48, 20]


async def test_x03_task_that_takes_its_time(served: Server) -> None:
    @served.task
    async def long_running() -> None:
        await asyncio.sleep(0.3)

    result = await long_running.send()
    await within(result.get())
    state = await result.state()

    assert (state.state, state.result) == (State.SUCCESS, None)
    assert state.started_at is not None
    assert state.finished_at is not None
    assert state.finished_at - state.started_at >= 0.29


def test_x04_fibonacci_numbers() -> None:
    following = [fibonacci(first).pause(1, 0.0) for first in (0, 1, 3, 4, 5, 8)]
    pauses = [fibonacci().pause(retry, 0.0) for retry in range(1, 6)]

    assert following == [1, 2, 5, 5, 8, 13]
    assert pauses == [1, 2, 3, 5, 8]


@pytest.mark.parametrize(
    ("first", "moments"), [(0, [0, 1, 3, 6]), (100, [0, 144, 144 + 233, 144 + 233 + 377])]
)
async def test_x05_attempts_come_at_fibonacci_seconds(first: float, moments: list[float]) -> None:
    clock = VirtualClock()
    attempts: list[float] = []
    told: list[str] = []
    async with Server(f"memory://{new_id()}", clock=clock) as server:

        @server.task(retry=fibonacci(first))
        async def fail() -> None:
            attempts.append(clock.time())
            raise ValueError("no")

        @server.task
        async def alert(message: str) -> None:
            told.append(message)

        began = clock.time()
        # its heart beats by the machine's time, which is not moved
        async with server.worker(lease=86_400.0):
            result = await fail.options(on_error=alert.p()).send()
            with pytest.raises(TaskFailedError, match="no"):
                await passing(clock, result.get(), seconds=2_000, step=50)
            await clock.advance(1_000)
        state = await result.state()

    assert [moment - began for moment in attempts] == moments
    assert (state.state, state.attempt, told) == (State.FAILURE, 4, ["no"])


async def test_x05_attempts_come_no_earlier_and_the_last_failure_is_told_once(served: Server) -> None:
    pauses = [SCALE * fibonacci().pause(retry, 0.0) for retry in (1, 2, 3)]
    attempts: list[float] = []
    told: list[str] = []

    @served.task(retry=RetryPolicy(max_retries=3, delays=tuple(pauses), jitter=False))
    async def fail() -> None:
        attempts.append(time.time())
        raise ValueError("no")

    @served.task
    async def alert(message: str) -> None:
        told.append(message)

    result = await fail.options(on_error=alert.p()).send()
    with pytest.raises(TaskFailedError, match="no") as failed:
        await within(result.get())
    await eventually(lambda: _is_empty(served))

    gaps = [after - before for before, after in pairwise(attempts)]
    assert failed.value.attempts == len(attempts) == 4
    assert all(gap >= pause for gap, pause in zip(gaps, pauses, strict=True)), gaps
    assert told == ["no"]


async def test_x06_retry_that_a_task_asks_for_comes_later_and_is_counted(served: Server) -> None:
    attempts: list[float] = []

    @served.task(retry=RetryPolicy(max_retries=1))
    async def busy() -> None:
        attempts.append(time.time())
        raise Retry("busy", delay=0.1)

    result = await busy.send()
    with pytest.raises(TaskFailedError, match="busy") as failed:
        await within(result.get())

    assert failed.value.attempts == len(attempts) == 2
    assert attempts[1] - attempts[0] >= 0.1


async def test_x07_group_is_complete_when_every_member_has_ended(server: Server) -> None:
    gates = [asyncio.Event(), asyncio.Event()]

    @server.task
    async def member(number: int, fails: bool) -> int:
        await gates[number].wait()
        if fails:
            raise ValueError("no")
        return number

    members = group([member.s(0, False), member.s(1, True)]).options(id="seen")
    async with server, server.worker(concurrency=1):
        result = await members.send()
        states = [server.result(f"seen.{number}").state for number in range(2)]

        async def are(*wanted: State) -> bool:
            return sorted([(await state()).state for state in states]) == sorted(wanted)

        await eventually(lambda: are(State.PENDING, State.STARTED))
        with pytest.raises(ResultTimeoutError):
            await result.get(timeout=0, errors="return")
        (first,) = [number for number in range(2) if (await states[number]()).state is State.STARTED]
        gates[first].set()
        await eventually(lambda: are(State.STARTED, State.FAILURE if first else State.SUCCESS))
        with pytest.raises(ResultTimeoutError):
            await result.get(timeout=0, errors="return")
        gates[1 - first].set()
        value, error = await within(result.get(errors="return"))

    assert value == 0
    assert isinstance(error, TaskFailedError)


async def test_x08_record_goes_through_its_states_and_is_forgotten(server: Server) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    @server.task
    async def work() -> str:
        begun.set()
        await go.wait()
        return "done"

    async with server:
        result = await work.send()
        walk = [await result.state()]
        async with server.worker():
            await within(begun.wait())
            walk.append(await result.state())
            go.set()
            await within(result.get())
            walk.append(await result.state())
        await result.forget()
        with pytest.raises(ResultNotFoundError):
            await result.state()

    assert [each.state for each in walk] == [State.PENDING, State.STARTED, State.SUCCESS]
    assert {each.name for each in walk} == {"work"}
    assert len({each.sent_at for each in walk}) == 1
    assert walk[0].sent_at is not None


async def test_x09_values_come_back_as_they_went(server: Server) -> None:
    seen: list[Values] = []

    @server.task
    async def echo(
        big: int,
        bigger: int,
        half: float,
        bools: list[bool],
        texts: list[str],
        nothing: list[int] | None,
        raw: bytes,
    ) -> Values:
        seen.append((big, bigger, half, bools, texts, nothing, raw))
        return seen[-1]

    sent: Values = (
        185135722552891243,
        9223372036854775808,
        0.5,
        [True, False],
        ["foo", "bär"],
        None,
        b"\x00\xff",
    )
    async with server, server.worker():
        result = await echo.send(*sent)
        value = await within(result.get())

    assert repr(seen) == repr([sent])
    assert repr(value) == repr(sent)


async def test_x10_immutable_call_takes_nothing(served: Server) -> None:
    first = chain(call("add", 2, 2, immutable=True), call("add", 5, 6))
    second = chain(call("add", 2, 2), call("add", 5, 6, immutable=True))
    callback = chord(group([call("add", 1, 1)]), call("multiply", 7, immutable=True))

    results = [await served.send(workflow) for workflow in (first, second, callback)]

    assert [await within(result.get()) for result in results] == [15, 11, 7]


async def test_x10_complete_call_takes_nothing(server: Server) -> None:
    add, times = server.task(add_numbers), server.task(multiply)
    middle = chain(add.s(2, 2), add.s(5, 6), times.p(2))
    callback = chord(group([add.s(1, 1)]), times.s(7))
    async with server, server.worker():
        results = [await server.send(workflow) for workflow in (middle, callback)]

        assert [await within(result.get()) for result in results] == [22, 7]


async def test_x11_error_comes_first_and_result_last(served: Server) -> None:
    told: list[tuple[Any, ...]] = []

    @served.task
    async def tell(*args: Any) -> None:
        told.append((current().headers["about"], *args))

    about = [call("tell", "own", 1, headers={"about": word}) for word in ("success", "error")]
    good, bad = call("add", 1, 1), call("return_just_error", "no", True)
    results = await served.send_many(
        [each.options(on_success=about[0], on_error=about[1]) for each in (good, bad)]
    )
    await within(results[0].get())
    with pytest.raises(TaskFailedError):
        await within(results[1].get())
    await eventually(lambda: _is_empty(served))

    assert sorted(told) == [("error", "no", "own", 1), ("success", "own", 1, 2)]


async def test_x12_each_slot_of_a_schedule_is_fired_by_one_of_three_programs(server: Server) -> None:
    ran: list[str] = []

    async def tick() -> None:
        ran.append(current().task_id)

    async with AsyncExitStack() as stack:
        for _ in range(3):
            program = Server(server.settings.broker, backend=server.settings.backend)
            program.register_task("tick", tick)
            program.schedule("ticking", 0.2, Signature(name="tick"))
            await stack.enter_async_context(program)
            await stack.enter_async_context(program.worker())
        await eventually(lambda: len(ran) >= 6)

    # the id of what a slot sends names the slot
    assert len(set(ran)) == len(ran)


def test_x13_credentials_are_not_shown() -> None:
    assert redacted("amqp://guest:guest@localhost:5672") == "amqp://localhost:5672"


async def _is_empty(server: Server) -> bool:
    """Tell whether nothing waits and nothing runs."""
    (counts,) = await server.stores.broker.stats(["default"])
    return (counts.ready, counts.delayed, counts.held) == (0, 0, 0)

"""The acceptance suite of machinery, the task queue for Go, on every pair of stores; ids are its numbers.

M14 (the look at waiting tasks), M19 (middleware) and M20 (several hosts in a URL) are to come.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aioqueue import GroupResult, Server, chain, chord, group
from aioqueue.errors import TaskFailedError
from aioqueue.ids import new_id
from aioqueue.models.state import State
from aioqueue.testing import VirtualClock
from tests.support import redis_server
from tests.support.acceptance import add as add_numbers
from tests.support.acceptance import call, multiply, product, register, return_multiple_values, sums
from tests.support.redis_server import HOST, RedisServer
from tests.support.stores import missing
from tests.support.waiting import passing, within

pytestmark = pytest.mark.anyio

PASSWORD = "p:a@ss"


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
    async with opened.worker() as worker:
        began = time.monotonic()
        await within(worker.stop())
        took = time.monotonic() - began

    assert took < 1.0


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

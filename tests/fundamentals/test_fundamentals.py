"""aioqueue in a page: each test is one thing a user does, as the user would write it."""

from __future__ import annotations

import asyncio

import pytest

from aioqueue import Reject, Retry, RetryPolicy, Router, Server, Signature, State, current
from aioqueue.errors import TaskFailedError

pytestmark = pytest.mark.anyio


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Server:
    return Server(f"memory://{request.node.name}")


async def test_send_a_task_and_await_its_result(server: Server) -> None:
    @server.task
    async def add(x: int, y: int) -> int:
        return x + y

    async with server, server.worker():
        result = await add.send(1, 2)

        assert await result == 3


async def test_send_by_name_without_the_tasks_code(server: Server) -> None:
    server.register_task("sum", sum_of)

    async with server, server.worker():
        result = await server.send(Signature(name="sum", args=[[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]]))

        assert await result == 55


async def test_send_many_in_one_step(server: Server) -> None:
    double = server.register_task("double", double_of)

    async with server, server.worker():
        results = await server.send_many([double.s(n) for n in range(100)])

        assert [await result for result in results] == [2 * n for n in range(100)]


async def test_await_a_result_by_its_id(server: Server) -> None:
    double = server.register_task("double", double_of)

    async with server, server.worker():
        sent = await double.send(21)
        elsewhere = server.result(sent.id, returns=int)

        assert await elsewhere == 42


async def test_ask_for_the_state_of_a_task(server: Server) -> None:
    double = server.register_task("double", double_of)

    async with server:
        result = await double.send(21)
        waiting = await result.state()
        async with server.worker(name="w1"):
            await result
        ended = await result.state()

    assert waiting.state is State.PENDING
    assert (ended.state, ended.result, ended.worker) == (State.SUCCESS, 42, "w1")


async def test_a_failure_is_raised_where_it_is_awaited(server: Server) -> None:
    @server.task
    async def fail() -> None:
        raise ValueError("no")

    async with server, server.worker():
        with pytest.raises(TaskFailedError, match="no"):
            await (await fail.send())


async def test_retry_what_fails(server: Server) -> None:
    @server.task(retry=RetryPolicy(max_retries=3, delay=0.001))
    async def third_time() -> int:
        if current().attempt < 3:
            raise ConnectionError("not yet")
        return current().attempt

    async with server, server.worker():
        assert await (await third_time.send()) == 3


async def test_ask_for_a_retry(server: Server) -> None:
    @server.task
    async def ask() -> int:
        if current().attempt == 1:
            raise Retry("busy", delay=0.001)
        return current().attempt

    async with server, server.worker():
        assert await (await ask.send()) == 2


async def test_reject_what_can_never_be_done(server: Server) -> None:
    @server.task
    async def refuse() -> None:
        raise Reject("the customer is gone")

    async with server, server.worker():
        with pytest.raises(TaskFailedError, match="the customer is gone"):
            await (await refuse.send())
        (letter,) = await server.dead_letters()

    assert letter.reason == "the customer is gone"


async def test_delay_a_task(server: Server) -> None:
    double = server.register_task("double", double_of)

    async with server, server.worker():
        result = await double.options(delay=0.05).send(1)

        assert (await result.state()).state is State.PENDING
        assert await result == 2


async def test_run_blocking_code_in_a_thread(server: Server) -> None:
    @server.task
    def blocking(n: int) -> int:
        return sum(range(n))

    async with server, server.worker():
        assert await (await blocking.send(1_000)) == 499_500


async def test_be_told_when_a_task_has_ended(server: Server) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()

    @server.task
    async def good() -> int:
        return 1

    @server.task
    async def bad() -> None:
        raise ValueError("no")

    @server.task
    async def tell(about: str, what: str | int) -> None:
        told.put_nowait(f"{about}: {what}")

    async with server, server.worker():
        await good.options(on_success=tell.p("good")).send()
        await bad.options(on_error=tell.p("bad")).send()

        assert {await told.get(), await told.get()} == {"good: 1", "bad: no"}


async def test_keep_tasks_of_one_kind_in_a_router(server: Server) -> None:
    mail = Router(prefix="mail.")

    @mail.task
    async def welcome(name: str) -> str:
        return f"Welcome, {name}"

    server.include(mail)
    async with server, server.worker():
        assert await (await server.send(Signature(name="mail.welcome", args=["Ada"]))) == "Welcome, Ada"


async def test_call_a_task_as_the_function_it_is(server: Server) -> None:
    @server.task
    async def add(x: int, y: int) -> int:
        return x + y

    assert await add(1, 2) == 3


async def test_the_same_id_runs_once(server: Server) -> None:
    runs: list[int] = []

    @server.task
    async def charge(amount: int) -> int:
        runs.append(amount)
        return amount

    async with server, server.worker():
        first = await charge.options(id="order-7").send(5)
        second = await charge.options(id="order-7").send(5)

        assert [await first, await second] == [5, 5]
    assert runs == [5]


async def test_drain_a_queue_and_leave(server: Server) -> None:
    double = server.register_task("double", double_of)

    async with server:
        results = await server.send_many([double.s(n) for n in range(10)])
        await server.worker().run(until_idle=True)

        assert [await result for result in results] == [2 * n for n in range(10)]


async def sum_of(numbers: list[int]) -> int:
    return sum(numbers)


async def double_of(n: int) -> int:
    return 2 * n

"""A Server belongs to one event loop of one process at a time, and finds its way from one to the next."""

from __future__ import annotations

import asyncio
import multiprocessing
import multiprocessing.sharedctypes
import os
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aioqueue import Server, Signature
from aioqueue.errors import BrokerUnavailableError, ConfigurationError, UnavailableError
from tests.support.faulty import Faults, FaultyBackend, FaultyBroker
from tests.support.waiting import within

pytestmark = pytest.mark.anyio


Use = Callable[[], Coroutine[Any, Any, object]]


async def _one() -> int:
    return 1


def _run(use: Use) -> None:
    asyncio.run(use())


def test_server_is_opened_again_when_its_loop_ended_without_a_close(server: Server) -> None:
    server.register_task("one", _one)

    async def leave_open() -> None:
        await server.open()
        await server.send(Signature(name="one"))

    async def use() -> int:
        async with server, server.worker():
            value: int = await (await server.send(Signature(name="one"))).get()
            return value

    asyncio.run(within(leave_open()))
    asyncio.run(within(leave_open()))

    assert asyncio.run(within(use())) == 1


def test_server_whose_loop_has_ended_is_closed_from_another(server: Server) -> None:
    asyncio.run(within(server.open()))
    asyncio.run(within(server.open()))
    asyncio.run(within(server.close()))

    with pytest.raises(ConfigurationError, match="the server is not open"):
        asyncio.run(within(server.send(Signature(name="one"))))


def test_send_after_the_loop_has_ended_says_that_the_server_is_not_open(server: Server) -> None:
    asyncio.run(within(server.open()))

    with pytest.raises(ConfigurationError, match="the server is not open"):
        asyncio.run(within(server.send(Signature(name="one"))))


async def test_second_loop_is_told_that_the_server_is_open_in_another(opened: Server) -> None:
    async def use_open() -> None:
        async with opened:
            pass

    uses: list[Use] = [
        use_open,
        opened.close,
        lambda: opened.send(Signature(name="one")),
    ]
    for use in uses:
        with pytest.raises(ConfigurationError, match="open in another event loop"):
            await asyncio.to_thread(_run, use)

    opened.register_task("one", _one)
    async with opened.worker():
        assert await within((await opened.send(Signature(name="one"))).get()) == 1


def in_child(server: Server, code: multiprocessing.sharedctypes.Synchronized[int]) -> None:
    """Find the server closed here, open it and use it."""

    async def use() -> None:
        with pytest.raises(ConfigurationError, match="the server is not open"):
            await server.send(Signature(name="one"))
        async with server, server.worker():
            code.value = await (await server.send(Signature(name="one"))).get()

    asyncio.run(within(use()))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_forked_child_opens_the_server_anew(opened: Server) -> None:
    if not hasattr(os, "fork"):
        pytest.xfail("this system cannot fork")
    opened.register_task("one", _one)
    context = multiprocessing.get_context("fork")
    code = context.Value("i", 0)
    child = context.Process(target=in_child, args=(opened, code))
    child.start()
    await asyncio.to_thread(child.join, 20)

    assert (code.value, child.exitcode) == (1, 0)
    async with opened.worker():
        assert await within((await opened.send(Signature(name="one"))).get()) == 1


async def test_broker_is_closed_again_when_the_backend_cannot_be_opened(tmp_path: Path) -> None:
    server = Server(f"sqlite:///{tmp_path}/q.db", backend=f"sqlite:///{tmp_path}/nowhere/r.db")

    with pytest.raises((ConfigurationError, UnavailableError), match="nowhere"):
        await server.open()

    with pytest.raises(BrokerUnavailableError, match="not open"):
        await server.stores.broker.stats()
    (tmp_path / "nowhere").mkdir()
    async with server:
        assert await server.stores.broker.stats() == []


async def test_server_that_is_opened_while_it_closes_is_open(tmp_path: Path) -> None:
    server = Server(f"sqlite:///{tmp_path}/q.db", backend=f"sqlite:///{tmp_path}/r.db")
    server.register_task("one", _one)
    await server.open()
    await within(asyncio.gather(server.close(), server.open()))
    result = await server.send(Signature(name="one"))

    async with server.worker():
        assert await within(result.get()) == 1
    await server.close()
    with pytest.raises(ConfigurationError, match="the server is not open"):
        await server.send(Signature(name="one"))


async def test_server_that_could_not_be_opened_may_be_opened_by_another_loop(tmp_path: Path) -> None:
    server = Server(f"sqlite:///{tmp_path}/nowhere/q.db")
    with pytest.raises(ConfigurationError, match="nowhere"):
        await server.open()
    (tmp_path / "nowhere").mkdir()

    async def use() -> None:
        async with server:
            pass

    await asyncio.to_thread(_run, use)


async def test_concurrent_sends_share_a_submit(server: Server) -> None:
    faults = Faults()
    stores = server.stores
    server.stores = replace(
        stores, broker=FaultyBroker(stores.broker, faults), backend=FaultyBackend(stores.backend, faults)
    )
    async with server:
        sends = [server.send(Signature(name="one", id=f"task-{n}")) for n in range(50)]
        results = await within(asyncio.gather(*sends))
        known = await server.send(Signature(name="one", id="task-7"))

    assert [(result.id, result.created) for result in results] == [(f"task-{n}", True) for n in range(50)]
    assert known.created is False
    assert faults.names().count("submit" if stores.one_step else "publish") == 2


async def test_send_that_is_cancelled_on_its_way_is_sent_and_its_neighbours_are_told(opened: Server) -> None:
    calls = [Signature[int](name="one", id=f"task-{n}") for n in range(3)]
    sends = [asyncio.create_task(opened.send(call)) for call in calls]
    for _ in range(2):
        await asyncio.sleep(0)
    sends[0].cancel()
    results = await within(asyncio.gather(*sends[1:]))
    opened.register_task("one", _one)
    async with opened.worker():
        values = [await within(result.get()) for result in (opened.result("task-0"), *results)]

    assert [result.created for result in results] == [True, True]
    assert values == [1, 1, 1]

"""Loops and processes: one after the other, and forked."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from aioqueue.adapters.sqlite import connect
from aioqueue.adapters.sqlite.broker import SqliteBroker
from aioqueue.errors import BrokerUnavailableError
from aioqueue.protocols.broker import Consumer
from tests.support.waiting import message, within

pytestmark = pytest.mark.anyio

QUEUE = "queue"


def broker_at(url: str) -> SqliteBroker:
    broker = connect(url).broker
    assert isinstance(broker, SqliteBroker)
    return broker


def count(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return int(db.execute("SELECT count(*) FROM messages").fetchone()[0])


def test_one_loop_after_the_other_may_use_an_adapter(path: Path, url: str) -> None:
    broker = broker_at(url)

    async def use() -> None:
        await broker.open()
        async with broker.consume([QUEUE], prefetch=1, lease=60, worker="w"):
            await broker.publish([message(QUEUE)])
        await broker.close()

    for _ in range(3):
        asyncio.run(within(use()))

    assert count(path) == 3


def test_adapter_may_be_opened_again_when_its_loop_ended_without_a_close(path: Path, url: str) -> None:
    broker = broker_at(url)

    async def use(*, close: bool) -> None:
        await broker.open()
        await broker.publish([message(QUEUE)])
        if close:
            await broker.close()

    for close in (False, False, True):
        asyncio.run(within(use(close=close)))

    assert count(path) == 3


async def test_leases_that_nobody_drops_leave_no_file_open(url: str) -> None:
    def beaten(consumer: Consumer) -> int:
        assert consumer.lease().beat()
        return len(os.listdir("/dev/fd"))

    broker = broker_at(url)
    await broker.open()
    async with broker.consume([QUEUE], prefetch=1, lease=60, worker="w") as consumer:
        counts = [await asyncio.to_thread(beaten, consumer) for _ in range(20)]
    await broker.close()

    assert counts[-1] <= counts[0]


def in_child(broker: SqliteBroker, code: multiprocessing.sharedctypes.Synchronized[int]) -> None:
    """Find the adapter closed here, open it and use it."""

    async def use() -> None:
        with pytest.raises(BrokerUnavailableError, match="not open"):
            await broker.publish([message(QUEUE)])
        await broker.close()
        await broker.open()
        for _ in range(20):
            await broker.publish([message(QUEUE)])
        await broker.close()
        code.value = 1

    asyncio.run(within(use()))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_forked_child_opens_its_own_connection(path: Path, url: str) -> None:
    if not hasattr(os, "fork"):
        pytest.xfail("this system cannot fork")
    context = multiprocessing.get_context("fork")
    broker = broker_at(url)
    await broker.open()
    ending = asyncio.Event()

    async def publish() -> int:
        published = 0
        while not ending.is_set():
            await broker.publish([message(QUEUE)])
            published += 1
        return published

    writers = [asyncio.create_task(publish()) for _ in range(5)]
    codes = []
    for _ in range(4):
        # forks in the middle of the writers' transactions
        code = context.Value("i", 0)
        child = context.Process(target=in_child, args=(broker, code))
        await broker.publish([])
        child.start()
        await asyncio.to_thread(child.join, 20)
        codes.append((code.value, child.exitcode))
    ending.set()
    published = sum(await asyncio.gather(*writers))
    await broker.close()

    assert codes == [(1, 0)] * 4
    assert count(path) == published + 4 * 20

"""What is due in two days is held for two days, whatever ends meanwhile, and then runs once."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from aioqueue import Server
from aioqueue.clock import Clock
from aioqueue.ids import new_id
from aioqueue.testing import VirtualClock
from tests.support import leaks, redis_server
from tests.support.clocks import SettableClock
from tests.support.redis_server import RedisServer
from tests.support.stores import missing
from tests.support.waiting import eventually, pause, within

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

DELAY = 48 * 3600.0
SOON = 1.0
"""Seconds within which it is to have run; a loaded machine gets more."""

_FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


class Patient:
    """A Server on a store, as a process that begins anew has it. ran: the moments at which its task ran."""

    def __init__(self, url: str, ran: list[float], clock: Clock | None = None) -> None:
        # its heart beats by the machine's time, which is not moved
        self.server = Server(url, clock=clock, lease=1_000_000.0 if clock else 15.0)

        @self.server.task
        async def late() -> str:
            ran.append(time.monotonic())
            return "done"

        self.late = late


async def test_two_days_on_memory() -> None:
    clock, ran = VirtualClock(), list[float]()
    patient = Patient(f"memory://{new_id()}", ran, clock)
    async with patient.server, patient.server.worker():
        result = await patient.late.options(delay=DELAY).send()
        await clock.advance(DELAY - 1)
        await pause()
        early = list(ran)
        await clock.advance(1)

        assert await within(result.get()) == "done"
    assert (early, len(ran)) == ([], 1)


async def test_two_days_on_sqlite_with_everything_restarted(tmp_path: Path) -> None:
    url, ran = f"sqlite:///{tmp_path / 'tasks.db'}", list[float]()
    before = Patient(url, ran, SettableClock())
    async with before.server, before.server.worker():
        result = await before.late.options(delay=DELAY).send()
        assert not (await result.state()).state.final

    for ahead, runs in ((DELAY - 10, 0), (DELAY, 1), (DELAY + 10, 1)):
        clock = SettableClock()
        clock.ahead = ahead
        after = Patient(url, ran, clock)
        async with after.server, after.server.worker():
            began = time.monotonic()
            if runs:
                assert await within(after.late.result(result.id).get()) == "done"
            await pause(0.2)
        assert len(ran) == runs
        if ahead == DELAY:
            print(f"SQLite: {ran[0] - began:.3f} s after the worker's start")
            assert ran[0] - began < 10 * SOON


@pytest.mark.slow
async def test_two_days_on_a_server_that_is_killed_and_comes_back_from_its_file() -> None:
    binary, ran = redis_server.valkey(), list[float]()
    if binary is None or not _FAKETIME:
        missing("valkey-server or libfaketime", "it is not installed")
    with ExitStack() as stack:
        own = stack.enter_context(RedisServer(binary, appendonly=True))
        url = own.url(namespace=new_id())
        before = Patient(url, ran)
        async with before.server, before.server.worker():
            result = await before.late.options(delay=DELAY).send()
            await asyncio.to_thread(own.kill)
        own.env = {"LD_PRELOAD": str(_FAKETIME[0]), "FAKETIME": "+48h"}
        await asyncio.to_thread(own.start)
        seconds, _ = own.command("TIME")
        assert float(seconds) - time.time() == pytest.approx(DELAY, abs=60)

        after = Patient(url, ran)
        async with after.server, after.server.worker():
            began = time.monotonic()
            assert await within(after.late.result(result.id).get()) == "done"
            await eventually(lambda: len(ran) == 1)
            await pause(0.5)
        leaks.check(url)
    print(f"Valkey: {ran[0] - began:.3f} s after the worker's start")
    assert len(ran) == 1
    assert ran[0] - began < 10 * SOON

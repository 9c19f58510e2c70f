"""What is due in two days is held for two days, whatever ends meanwhile, and then runs once."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import pytest

from aioqueue import Server, current
from aioqueue.clock import Clock
from aioqueue.ids import new_id
from aioqueue.testing import VirtualClock
from tests.support import leaks, redis_server
from tests.support.clocks import SettableClock
from tests.support.redis_server import RedisServer
from tests.support.stores import missing
from tests.support.waiting import pause, within

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

DELAY = 48 * 3600.0
SOON = 1.0
"""Seconds within which they are to have begun, by the store's clock, as a rule."""
TASKS, APART = 5, 0.5
"""How many, and seconds from one to the next: who looked now and then would be late for most of them."""
AWAY = 4.0
"""Seconds in which everything is down, more or less."""

_FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


class Patient:
    """A Server on a store, as a process that begins anew has it. ran: the ids of the tasks that ran."""

    def __init__(self, url: str, ran: list[str], clock: Clock | None = None) -> None:
        # its heart beats by the machine's time, which is not moved
        self.server = Server(url, clock=clock, lease=1_000_000.0 if clock else 15.0)

        @self.server.task
        async def late() -> str:
            ran.append(current().task_id)
            return "done"

        self.late = late

    async def send(self, delay: float = DELAY) -> dict[str, float]:
        """Send tasks that are due so late, one after the other; return when each is, by the store's clock."""
        results = [await self.late.options(delay=delay + n * APART).send() for n in range(TASKS)]
        return {result.id: (await result.state()).next_at or 0.0 for result in results}

    async def lateness(self, due: dict[str, float], began: float) -> float:
        """Await the tasks; return how many seconds late they began, as a rule. began: when that could be.

        What a timer was late here is not theirs: on a machine that is busy all is late.
        """
        over = asyncio.Event()
        timer = asyncio.create_task(_late_timer(over))
        for id in due:
            assert await within(self.late.result(id).get(), deadline=60) == "done"
        started = {id: (await self.late.result(id).state()).started_at or 0.0 for id in due}
        # records have milliseconds
        assert all(started[id] >= moment - 0.002 for id, moment in due.items())
        late = [started[id] - max(moment, began) for id, moment in due.items()]
        over.set()
        spared = await timer
        print(f"late by {', '.join(f'{each:.3f}' for each in late)} s; a timer by {spared:.3f} s")
        return median(late) - spared


async def _late_timer(over: asyncio.Event) -> float:
    """Return how many seconds a timer was late at most until all was over."""
    loop, worst = asyncio.get_running_loop(), 0.0
    while not over.is_set():
        asked = loop.time()
        await pause(0.02)
        worst = max(worst, loop.time() - asked - 0.02)
    return worst


async def test_two_days_on_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    # each look of an idle worker is some turns of the loop: one in five seconds of two days are too many
    monkeypatch.setattr("aioqueue.worker.fetcher._PATIENCE", 600.0)
    clock, ran = VirtualClock(), list[str]()
    patient = Patient(f"memory://{new_id()}", ran, clock)
    async with patient.server, patient.server.worker():
        due = await patient.send()
        await clock.advance(DELAY - 1)
        await pause()
        early = list(ran)
        await clock.advance(1 + TASKS * APART)

        assert await patient.lateness(due, 0.0) <= SOON
    assert (early, ran) == ([], list(due))


async def test_two_days_on_sqlite_with_everything_restarted(tmp_path: Path) -> None:
    url, ran = f"sqlite:///{tmp_path / 'tasks.db'}", list[str]()
    before = Patient(url, ran, SettableClock())
    async with before.server, before.server.worker():
        due = await before.send()

    for ahead, runs in ((DELAY - 3_600, 0), (DELAY, TASKS), (DELAY + 10, TASKS)):
        clock = SettableClock()
        clock.ahead = ahead
        after = Patient(url, ran, clock)
        async with after.server, after.server.worker():
            if runs and not ran:
                assert await after.lateness(due, clock.time()) <= SOON
            await pause(0.2)
        assert len(ran) == runs
    assert sorted(ran) == sorted(due)


@pytest.mark.slow
async def test_two_days_on_a_server_that_is_killed_and_comes_back_from_its_file() -> None:
    binary, ran = redis_server.valkey(), list[str]()
    if binary is None or not _FAKETIME:
        missing("valkey-server or libfaketime", "it is not installed")
    with ExitStack() as stack:
        own = stack.enter_context(RedisServer(binary, appendonly=True))
        url = own.url(namespace=new_id())
        before = Patient(url, ran)
        async with before.server, before.server.worker():
            due = await before.send(DELAY + AWAY)
            await asyncio.to_thread(own.kill)
        own.env = {"LD_PRELOAD": str(_FAKETIME[0]), "FAKETIME": "+48h"}
        await asyncio.to_thread(own.start)

        after = Patient(url, ran)
        async with after.server, after.server.worker():
            seconds, micros = own.command("TIME")
            assert await after.lateness(due, int(seconds) + int(micros) / 1e6) <= SOON
            await pause(0.5)
        leaks.check(url)
    assert sorted(ran) == sorted(due)

"""SIGTERM under load: nothing is lost, no attempt is counted, and what was given back runs at once."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from aioqueue import Server, Signature
from aioqueue.errors import ConfigurationError
from aioqueue.models.state import State
from tests.chaos.history import History
from tests.support.processes import AIOQUEUE, Process
from tests.support.waiting import eventually, within

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

GRACE, ROUNDS = 1.5, 3
"""Seconds, and rounds of which one has to be in time: another may be late by a machine that does more."""

LONG = ("--shutdown-timeout", "30")


def command(*options: str) -> list[str]:
    return [*AIOQUEUE, "worker", "tests.chaos.app:server", "--shutdown-timeout", str(GRACE), *options]


@pytest.mark.slow
async def test_stopped_worker_gives_back_what_it_runs_and_another_runs_it_at_once(tmp_path: Path) -> None:
    took: list[float] = []
    while len(took) < ROUNDS and min(took, default=GRACE + 2) > GRACE + 1:
        folder = tmp_path / str(len(took))
        folder.mkdir()
        took.append(await _stopped(folder))

    print(f"left and run elsewhere {took} s after SIGTERM with a grace of {GRACE} s")
    assert min(took) <= GRACE + 1


async def _stopped(folder: Path) -> float:
    """Stop a worker under load; return the seconds until it was gone and what it ran was run again."""
    history = History(folder / "history")
    broker = f"sqlite:///{folder / 'stop.db'}"
    env = {"AIOQUEUE_BROKER": broker, "HISTORY": str(history.path)}

    async with Server(broker) as server, Process.start(command("-c", "8"), env=env) as first:
        # a day long at first, so that none ends within the grace
        long = await server.send_many([Signature(name="work", args=[n, 86_400.0]) for n in range(8)])
        await eventually(lambda: history.in_flight()[first.pid] == 8, deadline=30)
        short = await server.send_many([Signature(name="work", args=[n, 0.01]) for n in range(8, 208)])
        async with Process.start(command("-c", "64"), env=env) as second:
            values = [await within(result.get(), deadline=60) for result in short]
            asked = time.time()
            first.signal(signal.SIGTERM)
            code = await first.wait()
            took = time.time() - asked
            await eventually(lambda: history.in_flight()[second.pid] == 8)
            resumed = [line.at for line in history.lines() if line.pid == second.pid and line.n < 8]
            states = [await result.state() for result in long]
            (counts,) = await server.stores.broker.stats(["default"])
            second.signal(signal.SIGTERM)
            second.signal(signal.SIGTERM)
            abrupt = await second.wait()
            given_back = [await result.state() for result in long]

    assert (code, abrupt) == (0, 0)
    assert values == list(range(8, 208))
    assert [(state.state, state.attempt, state.losses) for state in states] == [(State.STARTED, 1, 0)] * 8
    assert (counts.ready, counts.held, counts.dead) == (0, 8, 0)
    assert [(state.state, state.attempt, state.losses) for state in given_back] == [(State.PENDING, 1, 0)] * 8
    return max(took, max(resumed) - asked)


@pytest.mark.slow
async def test_what_ends_within_the_grace_is_committed(tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    broker = f"sqlite:///{tmp_path / 'stop.db'}"
    env = {"AIOQUEUE_BROKER": broker, "HISTORY": str(history.path)}

    async with Server(broker) as server, Process.start(command(*LONG), env=env) as worker:
        results = await server.send_many([Signature(name="work", args=[n, 0.5]) for n in range(50)])
        await eventually(lambda: history.in_flight()[worker.pid] == 50, deadline=30)
        worker.signal(signal.SIGTERM)
        code = await worker.wait()
        states = [await result.state() for result in results]

    assert code == 0
    assert [(state.state, state.result) for state in states] == [(State.SUCCESS, n) for n in range(50)]


async def test_stop_is_idempotent_and_a_worker_runs_again_after_it() -> None:
    async with Server("memory://stop-twice") as server:
        server.register_task("one", _one)
        worker = server.worker()
        for _ in range(2):
            async with worker:
                assert await within((await server.send(Signature(name="one"))).get()) == 1
                await asyncio.gather(worker.stop(), worker.stop())
                await within(worker.stop())


async def test_two_workers_in_one_process_share_the_work_and_stop_apart() -> None:
    async with Server("memory://two") as server:
        server.register_task("one", _one)
        async with server.worker(name="a", concurrency=1) as a, server.worker(name="b", concurrency=1) as b:
            results = await server.send_many([Signature(name="one") for _ in range(50)])
            assert [await within(result.get()) for result in results] == [1] * 50
            await within(a.stop())
            assert await within((await server.send(Signature(name="one"))).get()) == 1
            with pytest.raises(ConfigurationError, match="this worker runs already"):
                await b.run()

        assert a.done + b.done == 51
        assert b.done >= 1


async def test_task_that_ignores_its_cancel_is_given_up_and_given_back() -> None:
    begun, over = asyncio.Event(), asyncio.Event()

    async def stubborn() -> None:
        begun.set()
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue

    async with Server("memory://stubborn") as server:
        server.register_task("stubborn", stubborn)
        worker = server.worker(grace=0)
        async with worker:
            result = await server.send(Signature(name="stubborn"))
            await within(begun.wait())
            await within(worker.stop(), deadline=3)
        state = await result.state()
        over.set()

    assert (state.state, state.attempt) == (State.PENDING, 1)


async def _one() -> int:
    return 1

"""``kill -9`` of thirty workers at once: what each of them ran is started elsewhere within the promised time.

Nobody supervises them and nothing else is sent, so only a lapsed lease tells of their end. The times
are those that tasks write down outside the system.
"""

from __future__ import annotations

import random
import signal
import statistics
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aioqueue import AsyncResult, Server, Settings, Signature
from aioqueue.ids import new_id
from aioqueue.models.state import State
from tests.chaos.fleet import Fleet
from tests.chaos.history import History
from tests.support import leaks
from tests.support.processes import AIOQUEUE, Process
from tests.support.redis_server import RedisServer, shared
from tests.support.stores import missing
from tests.support.waiting import eventually, pause

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(500)]

VICTIMS, ROUNDS = 30, 3
"""Workers, and rounds of which one has to be in time: another may be late by a machine that does more."""

DAY = 86_400.0
START = 120.0


@dataclass(frozen=True, slots=True)
class Promise:
    """*within* so many seconds of its holder's death a task runs again. lease, sweep: seconds."""

    lease: float
    sweep: float
    within: float
    env: Mapping[str, str] = field(default_factory=dict)


PROMISES = {
    "defaults": Promise(Settings().lease, Settings().sweep, 22.0),
    "quick": Promise(5.0, 1.5, 7.0, {"AIOQUEUE_LEASE": "5", "AIOQUEUE_BEAT": "1.5", "AIOQUEUE_SWEEP": "1.5"}),
}


@pytest.fixture
def redis() -> RedisServer:
    try:
        return shared("redis")
    except LookupError as exc:
        missing("redis-server", exc)


@pytest.mark.parametrize("name", PROMISES)
async def test_tasks_of_workers_that_died_together_are_started_again_in_time(
    name: str, redis: RedisServer, tmp_path: Path
) -> None:
    promise, longest = PROMISES[name], list[float]()
    while len(longest) < ROUNDS and min(longest, default=DAY) > promise.within:
        longest.append(await _longest(promise, redis.url(namespace=new_id()), tmp_path / str(len(longest))))

    assert min(longest) <= promise.within


async def _longest(promise: Promise, url: str, path: Path) -> float:
    """Return the seconds until the last task ran again, in a round; DAY if it tells nothing."""
    history = History(path)
    env = {"AIOQUEUE_BROKER": url, "HISTORY": str(history.path), **promise.env}

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(url))
        victims = Fleet(stack, history, env, concurrency=1)
        results: list[AsyncResult[int]] = []

        def one_each() -> bool:
            return history.in_flight() == dict.fromkeys(victims.processes, 1)

        # two at a time, so that their beats come at all moments and not all at once
        while len(results) < VICTIMS:
            await victims.grow()
            await victims.grow()
            numbers = range(len(results), len(results) + 2)
            results += await server.send_many(Signature(name="work", args=[n, DAY]) for n in numbers)
            await eventually(one_each, deadline=START)

        # all have their task before it comes, and nobody judges who has not been there for a lease
        heir = await stack.enter_async_context(
            Process.start([*AIOQUEUE, "worker", "tests.chaos.app:server", "-c", "64"], env=env)
        )
        await heir.line("is ready", deadline=START)
        # the kill comes at any moment between two of its rounds, the first of which was at its start
        await pause(promise.lease + 0.2 + random.uniform(0, promise.sweep))
        begun = history.begun()
        held_still = one_each()
        if victims.lapses():
            print("a lease was lost before the kill: the machine is too busy to tell")
            return DAY

        killed = time.time()
        for process in victims.processes.values():
            process.signal(signal.SIGKILL)
        again = await _started_again(history, heir, deadline=promise.within + 2 * promise.lease)
        states = [await result.state() for result in results]

    took = sorted(at - killed for at in again.values())
    print(
        f"lease {promise.lease:g} s: {len(took)} tasks of {VICTIMS} killed workers ran elsewhere after"
        f" {took[0]:.2f} s at least, {statistics.median(took):.2f} s in the median,"
        f" {took[-1]:.2f} s at most; promised are {promise.within:g} s"
    )
    leaks.check(url)
    assert begun == dict.fromkeys(range(VICTIMS), 1)
    assert held_still
    assert again.keys() == set(range(VICTIMS))
    assert history.begun() == dict.fromkeys(range(VICTIMS), 2)
    assert [(s.state, s.attempt, s.losses) for s in states] == [(State.STARTED, 1, 1)] * VICTIMS
    return took[-1]


async def _started_again(history: History, heir: Process, *, deadline: float) -> dict[int, float]:
    """Return, a task, when it began in *heir*, in Unix seconds; later than promised too, to be told."""
    found: dict[int, float] = {}

    def all_run() -> bool:
        found.update((line.n, line.at) for line in history.lines() if line.pid == heir.pid)
        return len(found) == VICTIMS

    await eventually(all_run, deadline=deadline)
    return found

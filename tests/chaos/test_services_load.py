"""The FastAPI example under load: nothing is lost and nothing is left, though its worker be killed."""

from __future__ import annotations

import asyncio
import random
import statistics
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Any

import httpx
import pytest

from aioqueue import Server, State, TaskState
from aioqueue.ids import new_id
from tests.support import leaks
from tests.support.processes import Process
from tests.support.redis_server import RedisServer, debian
from tests.support.services import FASTAPI, Service
from tests.support.stores import missing
from tests.support.waiting import eventually, pause, within

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(400)]

IN_FLIGHT = 200
WORKER = ("-c", "100", "--log-level", "warning")
QUICK = {"AIOQUEUE_LEASE": "3", "AIOQUEUE_BEAT": "1", "AIOQUEUE_SWEEP": "1"}
REST, LATE = 15.0, 60.0


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A server whose clients are those of this test."""
    binary = debian()
    if binary is None:
        missing("redis-server", "it is not installed")
    with RedisServer(binary, appendonly=True) as server:
        yield server


@pytest.fixture
async def service(redis: RedisServer, tmp_path: Path) -> AsyncIterator[Service]:
    """The service, which runs, and no worker."""
    url = redis.url(namespace=new_id())
    async with Service(FASTAPI.watching(), url, tmp_path, QUICK) as service:
        await service.serve()
        yield service
    leaks.check(url)


@dataclass
class Load:
    """Clients that start a sum and await it for *patience* s, again and again, IN_FLIGHT of them.

    sums: what each id must come to. answers: how many awaits had which status. took: seconds from
    the start of each to its answer.
    """

    service: Service
    patience: float
    sums: dict[str, int] = field(default_factory=dict[str, int])
    answers: Counter[int] = field(default_factory=Counter[int])
    took: list[float] = field(default_factory=list[float])

    async def run(self, seconds: float) -> None:
        """Go on for *seconds*, and return when all is answered."""
        end = asyncio.get_running_loop().time() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(self._go_on(end))

    def __str__(self) -> str:
        p50, p99 = (statistics.quantiles(self.took, n=100)[n - 1] for n in (50, 99))
        return (
            f"{len(self.sums)} sums, {IN_FLIGHT} at once: {dict(self.answers)}, "
            f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms"
        )

    async def _go_on(self, end: float) -> None:
        loop = asyncio.get_running_loop()
        # one each: a pool looks through all its connections at every request
        async with self.service.client() as client:
            while (begun := loop.time()) < end:
                await self._ask(client)
                self.took.append(loop.time() - begun)

    async def _ask(self, client: httpx.AsyncClient) -> None:
        numbers = [random.randrange(1_000) for _ in range(3)]
        started = await client.post("/sums", json={"numbers": numbers})
        assert started.status_code == 202, started.text
        id = started.json()["id"]
        self.sums[id] = sum(numbers)
        answer = await client.get(f"/sums/{id}/value", params={"timeout": self.patience})
        self.answers[answer.status_code] += 1
        if answer.status_code == 200:
            assert answer.json() == {"id": id, "value": sum(numbers)}


async def held(service: Service, redis: RedisServer) -> tuple[Any, int]:
    """Return what the service's process holds, and how many clients Redis has."""
    async with service.client() as client:
        answer = await client.get("/held")
    clients: bytes = await asyncio.to_thread(redis.command, "CLIENT", "LIST")
    return answer.json(), clients.count(b"\n")


async def warm(service: Service) -> None:
    """Let one sum be awaited, so that all connections are there that will be."""
    async with service.client() as client:
        started = await client.post("/sums", json={"numbers": [1]})
        value = await client.get(f"{started.headers['Location']}/value", params={"timeout": 30})
    assert value.status_code == 200


async def stopped(worker: Process, url: str) -> None:
    """Stop the worker at a moment when it runs some tasks."""

    async def runs() -> bool:
        worker.signal(SIGSTOP)
        # one that a blocking read has brought has not begun, and what it has said already is heard first
        for seconds in (0.05, 0.3):
            await pause(seconds)
            (queue,) = await server.stores.broker.stats(["sums"])
            if (queue.held or 0) < 2:
                worker.signal(SIGCONT)
                return False
        return True

    async with Server(url) as server:
        await eventually(runs, deadline=30)


async def ended(url: str, ids: list[str]) -> list[TaskState]:
    """Return how each of *ids* has ended; fails where one does not within LATE s."""

    async def one(id: str) -> TaskState:
        await server.result(id).get(timeout=LATE)
        return await server.result(id).state()

    async with Server(url) as server:
        return await within(asyncio.gather(*map(one, ids)), deadline=2 * LATE)


async def test_two_hundred_awaiting_requests_at_once_have_no_error_and_leave_nothing(
    service: Service, redis: RedisServer
) -> None:
    await service.work(*WORKER)
    await warm(service)
    before = await held(service, redis)

    async def at_rest() -> bool:
        return await held(service, redis) == before

    load = Load(service, patience=30)
    await load.run(20)
    print(load)

    assert load.answers == {200: len(load.sums)}
    await eventually(at_rest, deadline=REST)


async def test_requests_outlive_the_worker_that_is_killed(service: Service, redis: RedisServer) -> None:
    worker = await service.work(*WORKER)
    await warm(service)
    before = await held(service, redis)

    async def at_rest() -> bool:
        return await held(service, redis) == before

    load = Load(service, patience=8)
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run(8))
        await pause(3)
        await stopped(worker, service.url)
        worker.signal(SIGKILL)
        await service.work(*WORKER)
    print(load)
    states = await ended(service.url, list(load.sums))

    assert load.answers.keys() <= {200, 504}
    assert {state.state for state in states} == {State.SUCCESS}
    assert {state.id: state.result for state in states} == load.sums
    assert any(state.losses for state in states), "the worker was killed while it ran nothing"
    await eventually(at_rest, deadline=REST)

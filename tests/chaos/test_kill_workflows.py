"""``kill -9`` of workers while chords of chains run: every callback is released, with every value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from aioqueue import AsyncResult, Server, Signature, chain, chord, group
from aioqueue.models.state import State
from tests.chaos.fleet import Fleet
from tests.chaos.history import History
from tests.support import redis_server
from tests.support.redis_server import RedisServer
from tests.support.stores import missing
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(240)]

PROCESSES, CONCURRENCY = 4, 16
CANVASES, KILLS, MEMBERS = 500, 25, 5
CALLBACK = 1_000_000
"""Numbers of callbacks begin here."""

TIMINGS = {
    "AIOQUEUE_LEASE": "2",
    "AIOQUEUE_BEAT": "0.5",
    "AIOQUEUE_SWEEP": "0.5",
    "AIOQUEUE_MAX_LOSSES": str(KILLS),
}


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A server of the test's own, which writes an append-only file."""
    binary = redis_server.debian() or missing("redis-server", "it is not installed")
    with RedisServer(binary, appendonly=True) as server:
        yield server


def canvas(number: int) -> Signature[int]:
    """Return a chord of chains whose value is known: each ends with its number, by a task that goes on."""
    members = [
        chain(
            Signature(name="work", args=(number * MEMBERS + at, 0.02), takes="none"),
            Signature(name="again", args=(number * MEMBERS + at, 0.02), takes="none"),
        )
        for at in range(MEMBERS)
    ]
    return chord(group(members), Signature(name="gather", args=(CALLBACK + number,)))


def expected(number: int) -> int:
    """Return the value of that chord."""
    return sum(range(number * MEMBERS, (number + 1) * MEMBERS))


@pytest.mark.parametrize("backend", ["redis", "sqlite"])
async def test_killed_workers_lose_and_double_no_workflow(
    redis: RedisServer, tmp_path: Path, backend: str
) -> None:
    history = History(tmp_path / "history")
    url = redis.url(namespace="kill")
    records = None if backend == "redis" else f"sqlite:///{tmp_path / 'records.db'}"
    env = {"AIOQUEUE_BROKER": url, "HISTORY": str(history.path), **TIMINGS}
    env |= {"AIOQUEUE_BACKEND": records} if records else {}
    hits = 0

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(url, backend=records))
        fleet = Fleet(stack, history, env, concurrency=CONCURRENCY)
        for _ in range(PROCESSES):
            await fleet.grow()
        results: list[AsyncResult[int]] = []
        while hits < KILLS:
            first = len(results)
            results += await server.send_many([canvas(first + n) for n in range(CANVASES // KILLS)])
            hits += await fleet.kill_a_busy_one(but_the_eldest=True) > 0

        async def ended() -> bool:
            return all([(await result.state()).state.final for result in results])

        await eventually(ended, deadline=120)
        states = [await result.state() for result in results]
        await eventually(lambda: _nothing_left(server), deadline=20)

    begun = history.begun()
    again = sum(times - 1 for n, times in begun.items() if n >= CALLBACK)
    print(f"{len(results)} chords of chains, {hits} kills, {again} callbacks begun again, {backend}")
    assert [state.state for state in states if state.state is not State.SUCCESS] == []
    assert [state.result for state in states] == [expected(n) for n in range(len(results))]
    assert all(begun[CALLBACK + n] >= 1 for n in range(len(results)))
    assert again <= (KILLS + fleet.lapses()) * CONCURRENCY


async def _nothing_left(server: Server) -> bool:
    (counts,) = await server.stores.broker.stats(["default"])
    return (counts.ready, counts.delayed, counts.held, counts.dead) == (0, 0, 0, 0)

"""A master that dies under load, and a slot that moves: nothing is lost, and nothing is committed twice.

The replica has all that the master has acknowledged when the master is killed; what it had not would
be lost with it, whoever sends. Commits are counted by the servers, in the step that makes them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import AskError, ResponseError

from aioqueue import Server
from aioqueue.adapters.redis.core import Access
from aioqueue.adapters.redis.scripts import script
from aioqueue.ids import new_id
from aioqueue.models.state import State
from tests.chaos import copies
from tests.chaos.fleet import Fleet
from tests.chaos.history import History
from tests.chaos.load import Load
from tests.chaos.remains import Keys
from tests.support.redis_server import RedisServer, debian, valkey
from tests.support.stores import missing
from tests.support.topologies import Cluster, Watched, cluster, is_master, kill_synced, watched
from tests.support.waiting import eventually, pause

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(300)]

AGAIN = 10.0
"""Seconds after the kill of a master within which tasks that were sent since have to run."""

_WORKERS, _CONCURRENCY = 2, 32
_ROUND = 6
_BEFORE = 1.5
_PAUSES = (0.0, 0.02, 0.2)
"""Seconds between two steps of a slot's way; with the last, calls are given up and made again."""


@pytest.fixture(params=["redis", "valkey"])
def binary(request: pytest.FixtureRequest) -> str:
    """The path of a server."""
    found = debian() if request.param == "redis" else valkey()
    return found if found is not None else missing(f"{request.param}-server", "it is not installed")


@pytest.fixture
def sentinels(binary: str) -> Generator[Watched]:
    """A master, a replica and three sentinels."""
    with watched(binary) as found:
        yield found


@pytest.fixture
def nodes(binary: str) -> Generator[Cluster]:
    """A cluster of three masters and a replica."""
    with cluster(binary, new_id()) as found:
        yield found


class Scene:
    """Workers that run what is sent all the while.

    settled, took: seconds after each kill until there was a master again, and until what was sent since ran.
    """

    def __init__(self, load: Load, history: History, fleet: Fleet) -> None:
        self.settled: list[float] = []
        self.took: list[float] = []
        self._load = load
        self._history = history
        self._fleet = fleet
        self._begun: list[tuple[float, int]] = []
        self._over = asyncio.Event()
        self._sending = asyncio.create_task(self._send())

    async def run_for(self, seconds: float) -> None:
        """Return when tasks have run, and been sent, for so long."""
        count = len(self._history.begun())
        await eventually(lambda: len(self._history.begun()) > count, deadline=30)
        await pause(seconds)

    async def kill(self, master: RedisServer, replica: RedisServer) -> None:
        """Kill the master, and return once what was sent since runs."""
        await self.run_for(_BEFORE)
        await asyncio.to_thread(kill_synced, master, replica)
        killed = time.time()
        await eventually(lambda: is_master(replica), deadline=60)
        self.settled += [time.time() - killed]

        def again() -> bool:
            first = next((number for at, number in self._begun if at > killed), None)
            later = [line.at for line in self._history.lines() if first is not None and line.n >= first]
            self.took += [min(later) - killed] if later else []
            return bool(later)

        await eventually(again, deadline=60)

    async def end(self, server: RedisServer, namespace: str) -> None:
        """Send no more, and hold what happened against what is promised. server: has the namespace now."""
        self._over.set()
        await self._sending
        records = await self._load.calm()
        begun, keys = self._history.begun(), Keys(server, server.url(namespace=namespace))
        took = ", ".join(f"{at:.1f} s" for at in (*self.settled, *self.took)) or "no kill"
        print(
            f"{len(records)} tasks, {sum(begun.values()) - len(begun)} runs repeated,"
            f" {self._load.sent_again} sends made again, {self._fleet.lapses()} leases lost;"
            f" a master and work again after {took}"
        )

        assert [record for record in records if record.state is not State.SUCCESS] == []
        assert [record.value for record in records] == [b"%d" % n for n in range(len(self._load.results))]
        assert begun.keys() == set(range(len(records)))
        assert keys.hash("commits") == dict.fromkeys((record.id for record in records), "1")
        assert keys.left_over() == []
        assert keys.leaks() == []
        assert max(self.took, default=0.0) <= AGAIN

    async def _send(self) -> None:
        while not self._over.is_set():
            self._begun.append((time.time(), len(self._load.results)))
            await self._load.send(_ROUND)
            await pause(0.05)


@asynccontextmanager
async def scene(url: str, folder: Path) -> AsyncGenerator[Scene]:
    """Return a scene at *url*."""
    history, copy = History(folder / "history"), copies.copied(folder / "copy", copies.COUNTED)
    env = {
        **copies.environment(copy),
        "HISTORY": str(history.path),
        "AIOQUEUE_BROKER": url,
        # no task is the culprit of anything here
        "AIOQUEUE_MAX_LOSSES": "1000",
    }
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(url))
        fleet = Fleet(stack, history, env, concurrency=_CONCURRENCY, cwd=copy)
        for _ in range(_WORKERS):
            await fleet.grow()
        yield Scene(Load(server), history, fleet)


async def test_failover_by_sentinels_loses_nothing(sentinels: Watched, tmp_path: Path) -> None:
    namespace = new_id()

    async with scene(sentinels.url(namespace), tmp_path) as seen:
        master = sentinels.master
        (replica,) = [each for each in sentinels.servers if each is not master]
        await seen.kill(master, replica)
        await seen.end(replica, namespace)


async def test_death_of_a_clusters_master_loses_nothing(nodes: Cluster, tmp_path: Path) -> None:
    async with scene(nodes.url(), tmp_path) as seen:
        await seen.kill(*nodes.pair)
        await seen.end(nodes.owner, nodes.namespace)


async def test_slot_that_moves_loses_nothing(nodes: Cluster, tmp_path: Path) -> None:
    there = nodes.owner
    others = [node for node in nodes.nodes if node not in nodes.pair]

    async with scene(nodes.url(), tmp_path) as seen:
        keys = []
        for target, pause in zip((*others, there), _PAUSES, strict=True):
            await seen.run_for(_BEFORE)
            keys.append(await asyncio.to_thread(nodes.migrate, target, pause=pause))
        await seen.run_for(_BEFORE)
        print(f"the slot has moved three times, with {keys} keys")
        await seen.end(nodes.owner, nodes.namespace)


@pytest.mark.parametrize("binary", ["redis"], indirect=True)
async def test_scripts_that_followed_their_slot_would_be_in_its_way(
    nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Any = Access._once
    other = next(node for node in nodes.nodes if node not in nodes.pair)

    async def follow(self: Access, name: str, args: list[Any]) -> Any:
        try:
            return await asked(self, name, args)
        except AskError as exc:
            there: Any = exc
            make: Any = Redis
            async with make(host=there.host, port=there.port, single_connection_client=True) as client:
                await client.execute_command("ASKING")
                prefix = self.core.options.prefix
                return await client.execute_command("EVAL", script(name).text, 1, prefix, *args)

    async with Server(nodes.url()) as server:
        load = Load(server)
        await load.send(500)
        monkeypatch.setattr(Access, "_once", follow)
        moving = asyncio.create_task(asyncio.to_thread(nodes.migrate, other, pause=0.05))
        while not moving.done():
            await load.send(_ROUND)

        with pytest.raises(ResponseError, match="BUSYKEY"):
            await moving

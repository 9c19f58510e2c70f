"""Small scenes, each made for one thing that the protocol rests on: whoever lacks it is found.

What happens in them is certain: they wait for the moment itself, and gates hold a task in it.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from aioqueue import AsyncResult, Server, Signature
from aioqueue.adapters.redis.scripts import script
from aioqueue.errors import ResultNotFoundError
from aioqueue.ids import new_id
from aioqueue.models.state import State
from tests.chaos import copies
from tests.chaos.history import History
from tests.chaos.remains import Keys
from tests.support.processes import AIOQUEUE, Process
from tests.support.proxy import Fault, FaultProxy
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

QUICK = {"AIOQUEUE_LEASE": "1", "AIOQUEUE_BEAT": "0.3", "AIOQUEUE_SWEEP": "0.2"}
# the heart looks after half a warning at the latest, so it has not beaten once when the scene is over
PATIENT = {
    "AIOQUEUE_LEASE": "240",
    "AIOQUEUE_BEAT": "120",
    "AIOQUEUE_SWEEP": "0.2",
    "AIOQUEUE_STALL_WARNING": "240",
}

_STUCK = 15.0
_LONG = 60.0


class BrokenError(AssertionError):
    """A promise is broken; it says which."""


@dataclass
class World:
    """A namespace, and workers of one copy of the package."""

    server: Server
    redis: RedisServer
    url: str
    keys: Keys
    history: History
    gates: Path
    stack: AsyncExitStack
    copy: Path

    @classmethod
    @asynccontextmanager
    async def made(cls, redis: RedisServer, copy: Path, folder: Path) -> AsyncGenerator[Self]:
        """Make one whose sender, here, uses the copy's scripts too."""
        url = redis.url(namespace=new_id())
        gates = folder / "gates"
        gates.mkdir()
        with copies.sending(copy):
            async with AsyncExitStack() as stack:
                server = await stack.enter_async_context(Server(url))
                keys = Keys(redis, url)
                yield cls(server, redis, url, keys, History(folder / "history"), gates, stack, copy)

    async def worker(
        self, timings: dict[str, str], *, concurrency: int = 8, url: str | None = None, doom: str = ""
    ) -> Process:
        """Start a worker.

        url: instead of the server's own. doom: scripts; it dies when one of them has answered.
        """
        env = {
            **copies.environment(self.copy),
            **timings,
            "AIOQUEUE_BROKER": url or self.url,
            "AIOQUEUE_MAX_LOSSES": "1000",
            "HISTORY": str(self.history.path),
            "DOOM": doom,
        }
        argv = [*AIOQUEUE, "worker", "tests.chaos.app:server", "-c", str(concurrency)]
        process = await self.stack.enter_async_context(Process.start(argv, env=env, cwd=self.copy))
        if not doom:
            await process.line("is ready", deadline=_LONG)
        return process

    async def send(self, *calls: Signature[int]) -> list[AsyncResult[int]]:
        """Send calls."""
        return await self.server.send_many(calls)

    def gated(self) -> Signature[int]:
        """Return a call that runs until ``open`` is called for its process."""
        return Signature(name="gated", args=[0, str(self.gates)], id=new_id())

    def open(self, process: Process) -> None:
        """Let the gated task end that runs in *process*."""
        (self.gates / str(process.pid)).touch()

    async def runs_in(self, process: Process) -> None:
        """Wait until *process* runs a task."""
        await eventually(lambda: self.history.in_flight()[process.pid] > 0, deadline=_LONG)

    async def ended(self, results: Sequence[AsyncResult[int]], *, deadline: float = _LONG) -> None:
        """Wait until they have succeeded."""

        async def all_ended() -> bool:
            return all([(await result.state()).state is State.SUCCESS for result in results])

        await eventually(all_ended, deadline=deadline)

    async def not_stuck(self, results: Sequence[AsyncResult[int]]) -> None:
        """Wait until they have succeeded; BrokenError if they do not, though all is calm."""
        try:
            await self.ended(results, deadline=_STUCK)
        except pytest.fail.Exception as exc:
            raise BrokenError(f"stuck: {self.keys.left_over()}") from exc

    async def nothing_left(self) -> None:
        """Wait until the queue holds nothing."""

        async def idle() -> bool:
            found = await self.server.stores.broker.stats(["default"])
            return [(c.ready, c.delayed, c.held, c.dead) for c in found] == [(0, 0, 0, 0)]

        await eventually(idle, deadline=_LONG)

    async def inherited(self, dead: Process, results: Sequence[AsyncResult[int]]) -> None:
        """Let another worker take what *dead* leaves; BrokenError if anything is gone or came to nothing."""
        assert await dead.wait(deadline=_LONG) == -signal.SIGKILL
        await self.worker(PATIENT)
        await self.nothing_left()
        states = [(await result.state()).state for result in results]
        if any(state is not State.SUCCESS for state in states):
            raise BrokenError(f"lost: the queue is empty and its tasks read {states}")
        self.committed_once(results)

    def committed_once(self, results: Sequence[AsyncResult[int]]) -> None:
        """Check how often the store has seen each end."""
        commits = self.keys.hash("commits")
        if commits != dict.fromkeys((result.id for result in results), "1"):
            raise BrokenError(f"committed twice: {commits}")


Scenario = Callable[[World], Awaitable[None]]


async def one_judged_dead(world: World) -> None:
    """A process is buried and lives, its task has ended elsewhere, and it comes with its own end."""
    # with no slot free it listens for nothing, so what is handed on goes elsewhere
    first = await world.worker(PATIENT, concurrency=1)
    results = await world.send(world.gated())
    await world.runs_in(first)
    second = await world.worker(PATIENT)
    owner = world.keys.hash(f"t:{results[0].id}")["o"]
    assert await world.server.stores.broker.bury(owner) == 1
    await world.runs_in(second)
    await _both_end(world, first, second, results)


async def two_entries(world: World) -> None:
    """The record of a running task is past its time, its id is sent again, and both come to their ends."""
    first = await world.worker(PATIENT, concurrency=1)
    call = world.gated()
    await world.send(call)
    await world.runs_in(first)
    # stands for 30 days
    assert world.redis.command("DEL", f"{world.keys.prefix}t:{call.id}") == 1
    results = await world.send(call)
    second = await world.worker(PATIENT, concurrency=1)
    await world.runs_in(second)
    await _both_end(world, first, second, results)


async def _both_end(
    world: World, first: Process, second: Process, results: Sequence[AsyncResult[int]]
) -> None:
    world.open(second)
    await world.ended(results)
    world.open(first)
    id = results[0].id
    await eventually(
        lambda: world.keys.told("refused") > 0 or world.keys.hash("commits")[id] != "1", deadline=_LONG
    )
    world.committed_once(results)


async def killed_at_its_end(world: World) -> None:
    """A process dies as soon as the store has answered to the end of its task."""
    results = await world.send(Signature(name="work", args=[0, 0.05]))
    dead = await world.worker(QUICK, doom="settle finish")
    await world.inherited(dead, results)


async def killed_at_a_promotion(world: World) -> None:
    """A process dies as soon as the store has answered to its promotion of what is due."""
    results = await world.send(Signature(name="work", args=[0, 0.01], delay=0.1))

    async def due() -> bool:
        (counts,) = await world.server.stores.broker.stats(["default"])
        return (counts.ready, counts.delayed) == (1, 0)

    await eventually(due)
    dead = await world.worker(QUICK, doom="promote")
    await world.inherited(dead, results)


async def sent_before_the_first_worker(world: World) -> None:
    """Tasks wait already when the queue gets its first worker; what is sent later ends after them."""
    early = await world.send(*(Signature[int](name="work", args=[n, 0.01]) for n in range(5)))
    await world.worker(PATIENT, concurrency=1)
    late = await world.send(Signature(name="work", args=[5, 0.01]))
    await world.ended(late)
    states = [(await result.state()).state for result in early]
    if any(state is not State.SUCCESS for state in states):
        raise BrokenError(f"passed over: a later task has ended, and these read {states}")
    world.committed_once([*early, *late])


async def longer_than_a_lease(world: World) -> None:
    """A task runs for two leases of a process that lives, while others look for the dead."""
    lease = 3.0
    timings = {"AIOQUEUE_LEASE": str(lease), "AIOQUEUE_BEAT": "0.5", "AIOQUEUE_SWEEP": "0.2"}
    # with one slot each, what is handed on can only go to the other
    processes = [await world.worker(timings, concurrency=1) for _ in range(2)]
    results = await world.send(world.gated())
    await eventually(lambda: bool(world.history.lines()), deadline=_LONG)
    begun = world.history.lines()[0].at
    # both are judged only when leases could be kept for as long as they last
    await eventually(lambda: world.keys.told("judged") > 0, deadline=_LONG)
    await eventually(lambda: _now(world) > begun + 2 * lease, deadline=_LONG)
    judged = world.keys.told("judged")
    await eventually(lambda: world.keys.told("judged") >= judged + 8, deadline=_LONG)
    times = world.history.begun()
    lapsed = [line for process in processes for line in process.lines if "the lease of consumer" in line]
    for process in processes:
        world.open(process)
    await world.ended(results)
    if times[0] > 1 and not lapsed:
        raise BrokenError(f"executed twice: a task was begun {times[0]} times, and nobody died")
    world.committed_once(results)


async def stopped_while_it_listens(world: World) -> None:
    """A process is stopped in a blocking read, judged dead, and then that read is served; it never wakes."""
    # with no slot free it listens for nothing
    busy = await world.worker(PATIENT, concurrency=1)
    results = await world.send(world.gated())
    await world.runs_in(busy)
    others = world.keys.hash("consumers").keys()
    listening = await world.worker(QUICK)
    (owner,) = world.keys.hash("consumers").keys() - others
    await eventually(lambda: _listens(world), deadline=_LONG)
    listening.signal(signal.SIGSTOP)
    await eventually(lambda: owner not in world.keys.hash("consumers"), deadline=_LONG)
    results += await world.send(Signature(name="work", args=[1, 0.01]))
    listening.signal(signal.SIGKILL)
    world.open(busy)
    await world.not_stuck(results)


def _listens(world: World) -> bool:
    clients: list[dict[str, str]] = world.redis.command("CLIENT LIST")
    # blocked at this moment, and not only once
    return any(client["cmd"] == "xreadgroup" and "b" in client["flags"] for client in clients)


def _now(world: World) -> float:
    seconds, _ = world.redis.command("TIME")
    return float(seconds)


async def awaited_before_it_runs(world: World) -> None:
    """Somebody asks for a task that no worker has seen, and sends it once more."""
    call = Signature[int](name="work", args=[0, 0.01], id=new_id())
    results = await world.send(call)
    try:
        assert (await results[0].state()).state is State.PENDING
    except ResultNotFoundError as exc:
        raise BrokenError("unknown: what was sent is not found") from exc
    await world.send(call)
    (counts,) = await world.server.stores.broker.stats(["default"])
    assert counts.ready == 1
    await world.worker(PATIENT)
    await world.ended(results)
    world.committed_once(results)


async def cut_fetch(world: World) -> None:
    """The reply that hands out tasks is lost on its way."""
    fetch = script("fetch")
    world.redis.command("SCRIPT", "LOAD", fetch.text)
    results = await world.send(*(Signature[int](name="work", args=[n, 0.01]) for n in range(4)))
    proxy = await _proxied(world)
    proxy.arm(Fault.CUT_REPLY, matching=fetch.digest.encode())
    await world.worker(PATIENT, url=_through(world, proxy))
    await eventually(lambda: proxy.counts[Fault.CUT_REPLY] == 1, deadline=_LONG)
    # later ones are done, and so must those be that came before
    await world.ended(await world.send(Signature(name="work", args=[4, 0.01])))
    await world.not_stuck(results)


async def cut_doorbell(world: World) -> None:
    """The reply of the blocking read that brings a task is lost on its way."""
    proxy = await _proxied(world)
    await world.worker(PATIENT, url=_through(world, proxy))
    await world.ended(await world.send(Signature(name="work", args=[0, 0.01])))
    for n in range(1, 4):
        proxy.arm(Fault.CUT_REPLY, matching=b"\r\nXREADGROUP\r\n")
        # armed no more: a read is on its way, and its reply will not arrive
        await eventually(lambda: proxy.armed == 0, deadline=_LONG)
        results = await world.send(Signature(name="work", args=[n, 0.01]))
        await world.not_stuck(results)


async def _proxied(world: World) -> FaultProxy:
    return await world.stack.enter_async_context(FaultProxy("127.0.0.1", world.redis.port))


def _through(world: World, proxy: FaultProxy) -> str:
    return world.url.replace(f":{world.redis.port}/", f":{proxy.port}/")

"""Crashes: processes on one set of stores, one of which dies at a moment of a store call, and their heirs.

The fault wrappers list the moments; one run is made for each. Time is virtual where no service keeps
its own, so a lease lapses when the test says so.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from aioqueue import Router, Server, Worker
from aioqueue.ids import new_id
from aioqueue.protocols.backend import Backend
from aioqueue.stores import Stores
from aioqueue.testing import VirtualClock
from aioqueue.worker import WorkerOptions
from tests.chaos.leavings import moving, rows
from tests.support.faulty import Crash, Faults, FaultyBackend, FaultyBroker, Point
from tests.support.moments import told
from tests.support.stores import BUILT_IN, PAIRS, Implementation, clock_for, named_pair
from tests.support.waiting import within

LEASE = 15.0
SHORT_LEASE = 2.0
"""Where a service keeps its own time, and the tests wait for it."""

TOGETHER = 12
"""Runs at once where time is to be waited for."""

DEADLINE = 180.0
"""Real seconds that a worker of so many may take to finish, on a loaded machine."""

Pair = tuple[Implementation, Implementation]
"""Broker and backend: one store if they are the same object, else two, though they may be of one kind."""

_MEMORY, _SQLITE, _REDIS = BUILT_IN
MEMORY: Pair = (_MEMORY, _MEMORY)
TWO_MEMORIES: Pair = (_MEMORY, replace(_MEMORY))
ONE_SQLITE: Pair = (_SQLITE, _SQLITE)
ONE_REDIS: Pair = (_REDIS, _REDIS)
_SLOW: tuple[Pair, ...] = (ONE_SQLITE, ONE_REDIS, (_REDIS, _SQLITE))


def over_pairs() -> list[ParameterSet]:
    """Return the parameters of tests over all pairs.

    Marked slow are those that wait for a service, and one of those that are the same two stores.
    """
    return [
        pytest.param(
            pair,
            id=named_pair(pair),
            marks=pytest.mark.slow if is_served(pair) or pair == (_SQLITE, _MEMORY) else (),
        )
        for pair in PAIRS
    ]


def over_few_pairs(*, served: bool = True) -> list[ParameterSet]:
    """Return the parameters of tests over one store of each kind and pairs of two; only memory is quick.

    served: also those that wait for a service.
    """
    quick = [pytest.param(MEMORY, id="memory"), pytest.param(TWO_MEMORIES, id="two memories")]
    others = [pair for pair in _SLOW if served or not is_served(pair)]
    return [*quick, *(pytest.param(pair, id=named_pair(pair), marks=pytest.mark.slow) for pair in others)]


@contextmanager
def spared(folder: Path) -> Generator[Path]:
    """Have a folder for one world, in memory where the system has such a place, else in *folder*.

    What dies there is a process, which loses nothing that was written, so to sync a disk proves nothing.
    """
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else folder) as home:
        yield Path(home)


def is_served(pair: tuple[Implementation, ...]) -> bool:
    """Tell whether a service keeps its own time."""
    return any(store.service for store in pair)


class World:
    """One set of stores, and every process that uses them; all of them know the tasks of *router*.

    commits: how often each task has ended.
    """

    def __init__(self, pair: Pair, folder: Path, router: Router) -> None:
        home = folder / new_id()
        home.mkdir()
        self.pair = pair
        self.router = router
        self.broker = pair[0].url(home)
        self.backend = None if pair[0] is pair[1] else pair[1].url(home)
        self.clock = clock_for(*pair)
        self.virtual = self.clock if isinstance(self.clock, VirtualClock) else None
        self.lease = LEASE if self.virtual is not None else SHORT_LEASE
        self.commits: Counter[str] = Counter()
        self._wrapped: list[tuple[FaultyBroker, Stores]] = []

    def process(self, faults: Faults | None = None) -> Server:
        """Return a Server whose store calls go wrong as *faults* says."""
        server = Server(self.broker, backend=self.backend, clock=self.virtual)
        faults = faults or Faults()
        faults.commits = self.commits
        stores = server.stores
        broker = FaultyBroker(stores.broker, faults)
        self._wrapped.append((broker, stores))
        server.stores = replace(
            stores,
            broker=broker,
            backend=FaultyBackend(stores.backend, faults),
            upkeep=(broker, *(other for other in stores.upkeep if other is not stores.broker)),
        )
        return server

    def worker(self, server: Server) -> Worker:
        """Return a worker of a process."""
        given = {"lease": self.lease, "beat": self.lease / 3}
        return Worker(server, self.router, server.stores, WorkerOptions.checked(server.settings, dict(given)))

    async def work(self, server: Server) -> None:
        """Work until nothing is left."""
        await within(self.worker(server).run(until_idle=True), deadline=DEADLINE)

    async def doomed(self, faults: Faults) -> None:
        """Work until nothing is left, or until the process dies, and all that runs in it."""
        loop, work = asyncio.get_running_loop(), asyncio.create_task(self.work(self.process(faults)))
        dying: set[asyncio.Task[Any]] = set()

        def died() -> None:
            dying.update(asyncio.all_tasks(loop))
            loop.call_soon_threadsafe(work.cancel)

        faults.died = died
        await asyncio.wait([work])
        for task in dying:
            # whoever would have heard of it may be dead
            _ = task.done() and not task.cancelled() and task.exception()
        if work.cancelled():
            assert faults.crashed
            return
        try:
            await work
        except* Crash:
            pass

    async def inherit(self, server: Server, done: Callable[[], Awaitable[bool]], *, rounds: int = 4) -> None:
        """Finish, in an open process, what dead ones have left, until it is *done* and no message is left."""
        for _ in range(rounds):
            await self.clock.advance(self.lease + 0.5)
            await self.maintain(server)
            await self.work(server)
            (counts,) = await server.stores.broker.stats(["default"])
            if (counts.ready, counts.delayed, counts.held) == (0, 0, 0) and await done():
                return

    async def maintain(self, server: Server) -> None:
        """Make a round of upkeep in every store."""
        for broker in server.stores.upkeep:
            await broker.maintain()

    def nothing_moves(self) -> None:
        """Look that what has ended is all there is, in every store that others can look into, and lapses."""
        for url in self._urls():
            left = moving(url, self.clock.time())
            assert left == [], f"is kept as if it might move on: {left}"

    def nothing_is_left(self) -> None:
        """Look, when the time of all results is over, that a file has nothing more."""
        for url in self._urls():
            left = rows(url)
            assert left == [], f"is kept though nothing is shown of it: {left}"

    def _urls(self) -> list[str]:
        return [url for url in (self.broker, self.backend) if url is not None]

    @staticmethod
    def backend_of(server: Server) -> Backend:
        """Return the backend of a process, to be asked without being counted."""
        assert isinstance(server.stores.backend, FaultyBackend)
        return server.stores.backend.real

    async def clear_up(self) -> None:
        """Close what dead processes have left open, as the system would; nothing is left for ever."""
        for broker, stores in self._wrapped:
            await broker.clear_up()
            await stores.close()
        for store, url in zip(self.pair, (self.broker, self.backend), strict=True):
            if store.check is not None and url is not None:
                store.check(url)


def moments(faults: Faults) -> list[Point]:
    """Return every moment of the calls that were made, but of those that connect."""
    seen: Counter[tuple[str, str]] = Counter()
    points: list[Point] = []
    for call in faults.calls:
        if call.name not in {"open", "close"}:
            seen[call.name, call.moment] += 1
            points.append((call.name, call.moment, seen[call.name, call.moment]))
    return points


async def crash_everywhere(live: Callable[[Faults], Awaitable[None]], *, together: int = 1) -> int:
    """Let one world *live* without a crash, and then one for each moment with a crash there.

    Returns how many crashes there were.
    """
    crashes = 0

    async def tried(point: Point) -> None:
        nonlocal crashes
        faults = Faults(crash_at=point)
        try:
            await live(faults)
        except BaseException as exc:
            exc.add_note(f"where the process died at {point}")
            raise
        crashes += faults.crashed

    listing = Faults()
    with _unheard():
        await live(listing)
        points = moments(listing)
        for start in range(0, len(points), together):
            async with asyncio.TaskGroup() as worlds:
                for point in points[start : start + together]:
                    worlds.create_task(tried(point))
    return crashes


async def survives_everywhere(
    pair: Pair, live: Callable[[Faults], Awaitable[None]], *, least: int, together: int | None = None
) -> None:
    """Let worlds of *pair* live, each with a crash at another moment, and there are *least* of them.

    together: how many worlds at once; None for as many as gains time.
    """
    crashes = await crash_everywhere(live, together=together or (TOGETHER if is_served(pair) else 1))
    told(crashes)
    assert crashes >= least, "calls go by unseen"


@contextmanager
def _unheard() -> Generator[None]:
    """Have nobody told of crashes in tasks that nobody awaits any more, as their process is dead."""
    loop = asyncio.get_running_loop()
    heard = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if isinstance(context.get("exception"), Crash):
            return
        if heard is None:
            loop.default_exception_handler(context)
        else:
            heard(loop, context)

    loop.set_exception_handler(handle)
    try:
        yield
    finally:
        # tasks tell when they are collected
        gc.collect()
        loop.set_exception_handler(heard)

"""A worker that dies at any moment of any store call: the next one finishes everything, once.

The fault wrappers list the moments; one run is made for each. Time is virtual, so a lease lapses
when the test says so.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from aioqueue import Reject, RetryPolicy, Server, State, current
from aioqueue.ids import new_id
from aioqueue.stores import Stores
from aioqueue.testing import VirtualClock
from tests.support.clocks import MovableClock
from tests.support.faulty import Call, Crash, Faults, FaultyBackend, FaultyBroker
from tests.support.stores import PAIRS, Implementation, clock_for
from tests.support.waiting import within

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

LEASE = 15.0
SHORT_LEASE = 2.0
"""Where a service keeps its own time, and the tests wait for it."""

POINTS = {"one store": 20, "two stores": 30}
"""How many moments there are at least; fewer would mean that calls go by unseen."""


class World:
    """One set of stores, and every process that uses them."""

    def __init__(self, broker: str, backend: str | None, clock: MovableClock) -> None:
        self.broker, self.backend, self.clock = broker, backend, clock
        self.virtual = clock if isinstance(clock, VirtualClock) else None
        self.lease = LEASE if self.virtual is not None else SHORT_LEASE
        self.runs: Counter[str] = Counter()
        self.dead: list[tuple[FaultyBroker, Stores]] = []

    def process(self, faults: Faults | None = None) -> Server:
        """Return a Server with the tasks, whose store calls go wrong as *faults* says."""
        server = Server(self.broker, backend=self.backend, clock=self.virtual)

        @server.task
        async def good() -> str:
            self.runs["good"] += 1
            return "good"

        @server.task(retry=RetryPolicy(max_retries=2, delay=0.0))
        async def third_time() -> int:
            self.runs["third_time"] += 1
            if current().attempt < 3:
                raise ConnectionError("not yet")
            return current().attempt

        @server.task(retry=RetryPolicy(max_retries=1, delay=0.0))
        async def never() -> None:
            raise ConnectionError("never")

        @server.task
        async def refuse() -> None:
            raise Reject("no")

        @server.task
        async def note(what: str) -> str:
            self.runs[f"note {what}"] += 1
            return what

        if faults is not None:
            stores = server.stores
            broker = FaultyBroker(stores.broker, faults)
            self.dead.append((broker, stores))
            server.stores = replace(
                stores, broker=broker, backend=FaultyBackend(stores.backend, faults), upkeep=(broker,)
            )
        return server

    async def send(self, server: Server) -> dict[str, str]:
        """Send all there is to do; return the ids by name."""
        note = server.find("note")
        assert note is not None
        calls = {
            name: task.s()
            for name in ("good", "third_time", "never", "refuse")
            if (task := server.find(name))
        }
        calls["good"] = calls["good"].options(on_success=note.s("good"))
        calls["never"] = calls["never"].options(on_error=note.s("never"))
        results = await server.send_many(calls.values())
        return {name: result.id for name, result in zip(calls, results, strict=True)}

    async def work(self, server: Server) -> None:
        """Work until nothing is left."""
        worker = server.worker(lease=self.lease, beat=self.lease / 3)
        await within(worker.run(until_idle=True), deadline=60)

    async def doomed(self, faults: Faults) -> None:
        """Work until nothing is left, or until the process dies."""
        server = self.process(faults)
        try:
            await self.work(server)
        except* Crash:
            pass

    async def heir(self) -> dict[str, tuple[State, object, int]]:
        """Finish what a dead process has left; return how everything stands."""
        server = self.process()
        async with server:
            for _ in range(3):
                await self.clock.advance(self.lease + 0.5)
                for broker in server.stores.upkeep:
                    await broker.maintain()
                await self.work(server)
            found = await server.stores.backend.get(self.ids)
            (counts,) = await server.stores.broker.stats(["default"])
            letters = await server.stores.broker.dead_letters()
        assert (counts.ready, counts.delayed, counts.held) == (0, 0, 0)
        assert sorted(letter.name for letter in letters) == ["never", "refuse"]
        return {r.name: (r.state, r.value, r.attempt) for r in found if r is not None and r.name != "note"}

    async def live(self, faults: Faults) -> dict[str, tuple[State, object, int]]:
        """Send, work until the crash, inherit."""
        sender = self.process()
        async with sender:
            sent = await self.send(sender)
        self.ids = [*sent.values(), f"{sent['good']}.s0", f"{sent['never']}.e0"]
        await self.doomed(faults)
        found = await self.heir()
        # what a dead process leaves open the system closes
        for broker, stores in self.dead:
            await broker.clear_up()
            await stores.close()
        return found


EXPECTED = {
    "good": (State.SUCCESS, b'"good"', 1),
    "third_time": (State.SUCCESS, b"3", 3),
    "never": (State.FAILURE, None, 2),
    "refuse": (State.FAILURE, None, 1),
}


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param(pair, marks=[pytest.mark.slow] if any(store.service for store in pair) else [])
        for pair in PAIRS
    ],
    ids=lambda pair: f"{pair[0].name}+{pair[1].name}",
)
async def test_worker_that_dies_at_any_moment_loses_and_doubles_nothing(
    pair: tuple[Implementation, Implementation], tmp_path: Path
) -> None:
    def world() -> World:
        folder = tmp_path / new_id()
        folder.mkdir()
        broker = pair[0].url(folder)
        return World(broker, None if pair[0] is pair[1] else pair[1].url(folder), clock_for(*pair))

    listing, listed = Faults(), world()
    assert await listed.live(listing) == EXPECTED
    points: list[Call] = [call for call in listing.calls if call.name not in {"open", "close"}]

    async def tried(point: Call) -> None:
        one = world()
        assert await one.live(Faults(crash_at=point)) == EXPECTED, point
        assert one.runs["note good"] >= 1, point
        assert one.runs["note never"] >= 1, point
        assert one.runs["good"] <= 2, point

    # some at once where time is to be waited for
    together = 1 if listed.virtual is not None else 12
    for start in range(0, len(points), together):
        await asyncio.gather(*map(tried, points[start : start + together]))

    print(f"{len(points)} moments")
    assert len(points) >= POINTS["one store" if pair[0] is pair[1] else "two stores"]

"""A worker that dies at any moment of any store call as schedules fire: none lost, none doubled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aioqueue import Router, Server, State, chain, current
from aioqueue.slots import SECOND, as_moment
from aioqueue.ticks import SLOT, Cursor, tick_id
from aioqueue.worker import Worker, WorkerOptions
from tests.chaos.crashes import Pair, World, is_served, over_few_pairs, survives_everywhere
from tests.support.faulty import Faults, FaultyStore
from tests.support.waiting import pause, within

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(500)]

POINTS = 30
"""How many moments there are at least; fewer would mean that calls go by unseen."""


class Ticking(World):
    """A world with a schedule of a task and, where no service keeps its own time, one of a chain."""

    def __init__(self, pair: Pair, folder: Path) -> None:
        super().__init__(pair, folder, Router())
        self.every = 0.3 if is_served(pair) else 1.0
        self.slots: dict[str, set[str]] = {"tick": set(), "steps": set()}

        @self.router.periodic(self.every, misfire="all")
        @self.router.task(result_ttl=0)
        async def tick() -> None:
            self.slots["tick"].add(current().headers[SLOT])

        @self.router.task
        async def step(name: str = "") -> str:
            self.slots["steps"].add(current().headers[SLOT])
            return "step"

        if not is_served(pair):
            self.router.schedule("steps", self.every, chain(step.s("first"), step.p()), misfire="all")

    def process(self, faults: Faults | None = None) -> Server:
        server = super().process(faults)
        assert server.stores.store is not None
        server.stores = replace(server.stores, store=FaultyStore(server.stores.store, faults or Faults()))
        return server

    async def work(self, server: Server) -> None:
        """Work until a slot has run that is two further than now."""
        worker = self.worker(server)
        goal = as_moment(round((self.clock.time() + 2 * self.every) * SECOND)).isoformat()
        driver = asyncio.create_task(self._drive(worker, goal))
        try:
            await within(worker.run(), deadline=60)
        finally:
            driver.cancel()

    async def live(self, faults: Faults) -> None:
        """Work until the crash, inherit; look at what every slot has come to."""
        await self.doomed(faults)
        server = self.process()
        async with server:
            await self.clock.advance(self.lease + 0.5)
            await self.maintain(server)
            await self.work(server)
            await self._settle(server)
            assert server.stores.store is not None
            cursors = await server.stores.store.list("schedule:tick:")
            assert await server.dead_letters() == []
            for key, data in cursors.items():
                await self._all_ran(server, key.rpartition(":")[2], Cursor.decoded(data))
        await self.clear_up()
        assert set(self.commits.values()) == {1}

    async def _all_ran(self, server: Server, name: str, cursor: Cursor) -> None:
        """Check that every slot that is passed has run and has ended, and that none is claimed."""
        wanted = list(self._up_to(cursor.slot, name))
        ends = ("",) if name == "tick" else (".0", ".1")
        ids = [f"{tick_id(name, slot)}{end}" for slot in wanted for end in ends]
        records = await self.backend_of(server).get(ids)
        assert cursor.pending == ()
        assert self.slots[name] == {as_moment(slot).isoformat() for slot in wanted}
        assert {None if record is None else record.state for record in records} == {State.SUCCESS}

    def _up_to(self, last: int, name: str) -> Iterator[int]:
        """Yield every slot from the first that has run to *last*."""
        first = min(self.slots[name])
        slot = last
        while as_moment(slot).isoformat() >= first:
            yield slot
            slot -= round(self.every * SECOND)

    async def _drive(self, worker: Worker, goal: str) -> None:
        wanted = [slots for name, slots in self.slots.items() if name in self.router.scheduled]
        # from there on as slowly as real time, or leases would lapse before threads have come to beat them
        far = self.clock.time() + self.lease / 3
        while not all(slots and max(slots) >= goal for slots in wanted):
            await pause(0.02)
            if self.virtual is not None:
                await self.virtual.advance(self.every / 2 if self.virtual.time() < far else 0.02)
        await worker.stop()

    async def _settle(self, server: Server, *, rounds: int = 4) -> None:
        """Run what is left, with no more slots; what the dead hold, too, once they are judged."""
        given = {"lease": self.lease, "beat": self.lease / 3, "scheduler": False}
        options = WorkerOptions.checked(server.settings, dict(given))
        for _ in range(rounds):
            await within(
                Worker(server, self.router, server.stores, options).run(until_idle=True), deadline=60
            )
            (counts,) = await server.stores.broker.stats(["default"])
            if (counts.ready, counts.delayed, counts.held) == (0, 0, 0):
                return
            await self.clock.advance(self.lease + 0.5)
            await self.maintain(server)
        raise AssertionError(f"a message is left: {counts}")


@pytest.mark.parametrize("pair", over_few_pairs())
async def test_worker_that_dies_as_schedules_fire_loses_and_doubles_no_slot(
    pair: Pair, tmp_path: Path
) -> None:
    await survives_everywhere(pair, lambda faults: Ticking(pair, tmp_path).live(faults), least=POINTS)

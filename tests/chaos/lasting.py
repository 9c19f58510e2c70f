"""Lasting: how long the values of a chord are there for those who take them, and that they go afterwards."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from pathlib import Path

from aioqueue import Router, Signature, chord, group
from aioqueue.protocols.messages import OPEN_TTL
from tests.chaos.crashes import Pair, World
from tests.integration.redis.apparatus import Namespace
from tests.integration.redis.flows import DAY, age
from tests.support import redis_server
from tests.support.flows import calls, many, works_of_one, works_of_two
from tests.support.waiting import eventually, pause, within

ID = "brief"
TTL = 1.0
LASTS = 3.0
PATIENCE = 5.0

_router = Router()
_here: ContextVar[Brief] = ContextVar("here")


class Brief(World):
    """A world of one chord. over: its slow member has outlasted the results of the others."""

    def __init__(self, pair: Pair, folder: Path) -> None:
        super().__init__(pair, folder, _router)
        self.over = asyncio.Event()

    def others_ended(self) -> bool:
        """Tell whether the quick members have results."""
        return {f"{ID}.0", f"{ID}.2"} <= self.commits.keys()


@_router.task
async def quick(n: int) -> int:
    return n


@_router.task
async def slow(n: int) -> int:
    here = _here.get()
    await eventually(here.others_ended)
    await here.clock.wait(asyncio.Event(), until=here.clock.time() + LASTS)
    here.over.set()
    return n


@_router.task
async def total(values: list[int]) -> int:
    return sum(values)


async def brief_chord(pair: Pair, folder: Path) -> None:
    """A member outlasts the time of all results; the callback gets every value, and then all of it goes."""
    world = Brief(pair, folder)
    clock, server = world.clock, world.process()
    _here.set(world)
    whole = chord(group([quick.s(1), slow.s(2), quick.s(4)]), total.p())
    async with server:
        backend = world.backend_of(server)
        async with world.worker(server):
            result = await server.send(whole.options(id=ID, result_ttl=TTL))
            value = asyncio.ensure_future(result.get())
            await eventually(world.others_ended)
            while not world.over.is_set():
                await clock.advance(0.25)
                await pause()
            # stands still until it is known, as it is known for a second only; or until it surely is not
            await asyncio.wait([value], timeout=PATIENCE)
            if not value.done():
                await clock.advance(TTL)
            assert await within(value) == 7, "the callback got other values"
            assert await backend.get([f"{ID}.0", f"{ID}.2"]) == [None, None], "results outlast their time"
        ids = [f"{ID}.{number}" for number in range(12)]
        if world.virtual is not None:
            await clock.advance(TTL / 2)
            await world.maintain(server)
            assert await backend.members(f"{ID}.4", 0, 3) is not None, "goes before what it came to"
        await clock.advance(TTL + 2)
        await world.maintain(server)
        assert await backend.get(ids) == [None] * len(ids), "results outlast their time"
        assert await backend.workflow(ID) is None, "a workflow outlasts what it came to"
        assert [await backend.members(id, 0, 3) for id in ids] == [None] * len(ids), "values outlast it"
    await world.clear_up()


async def late_member(pair: Pair, folder: Path) -> None:
    """A member ends when the time of its group is over: nothing of the group comes back."""
    world = World(pair, folder, Router())
    server = world.process()
    one, two = calls("ab")
    async with server:
        stores = server.stores
        works = (works_of_one if stores.one_step else works_of_two)(
            stores.broker, stores.backend, world.clock, "default"
        )
        plan = await works.send(chord(many(one, two), Signature(name="after")))
        async with works.crew(lease=3 * OPEN_TTL) as crew:
            taken = await crew.take()
            await crew.end(taken["a"])
            await _outlive(world)
            await world.maintain(server)
            assert await works.value(plan.joins[0].id) is None, "outlasts its time"
            await crew.end(taken["b"])
            ran = await crew.run()
            await world.maintain(server)
        assert "after" not in ran, "the callback was released"
        assert await works.backend.workflow(plan.id) is None, "the workflow is back"
        assert await works.value(plan.joins[0].id) is None, "the group is back"
        if world.virtual is None:
            assert _keys(world).keys("[gi]:*") == [], "the group is back"
    await world.clear_up()


async def _outlive(world: World) -> None:
    """Let the time of an open workflow pass."""
    if world.virtual is not None:
        await world.clock.advance(OPEN_TTL + 60)
    else:
        await asyncio.to_thread(age, _keys(world), OPEN_TTL + 2 * DAY)


def _keys(world: World) -> Namespace:
    return Namespace(redis_server.shared("redis"), world.broker)

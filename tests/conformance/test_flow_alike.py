"""Workflows made at random, ended, gone on with and cancelled at random: every store does as memory does."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aioqueue import Signature
from aioqueue.canvas import Plan
from aioqueue.layout import Stead
from aioqueue.models.state import State
from aioqueue.protocols.messages import Delivery, Record
from tests.conformance.test_flow_model import any_call
from tests.support.flows import Crew, Works, retry_of, works_of_one
from tests.support.stores import BUILT_IN, backend_of, broker_of, clock_for, place

pytestmark = pytest.mark.anyio

MEMORY = BUILT_IN[0]
STEPS = 25
TOLD, BAD = Signature(name="told", takes="none"), Signature(name="bad", takes="none")


@pytest.fixture
async def model(tmp_path: Path, queue: str) -> AsyncIterator[Works]:
    """Where what is right is seen."""
    clock = clock_for(MEMORY)
    async with place(MEMORY, tmp_path, clock).opened() as adapter:
        yield works_of_one(broker_of(adapter), backend_of(adapter), clock, queue)


@dataclass
class Side:
    """One of the two places, and what its worker runs."""

    works: Works
    crew: Crew
    held: dict[str, Delivery] = field(default_factory=dict[str, Delivery])

    async def take(self) -> list[str]:
        """Take what is ready; return the ids of all that runs."""
        for delivery in await self.crew.take_all():
            self.held[delivery.message.id] = delivery
        return sorted(self.held)

    async def end(self, id: str, how: str, instead: Plan | None) -> bool:
        """End what runs; what is refused is given back."""
        delivery = self.held.pop(id)
        match how:
            case "go on" if instead is not None:
                done = await self.crew.go_on(delivery, instead)
            case "fail":
                done = await self.crew.fail(delivery)
            case "retry":
                now = self.works.clock.time()
                done = await self.crew.end(delivery, State.RETRY, follow=(retry_of(delivery),), next_at=now)
            case _:
                done = await self.crew.end(delivery)
        if not done:
            await self.crew.finisher.release([delivery])
        return done

    async def seen(self, plans: list[Plan]) -> dict[str, Any]:
        """Return all that is to be seen of workflows; what a join has, as long as that is kept."""
        ids = shown(plans)
        records = await self.works.backend.get(ids)
        seen: dict[str, Any] = {id: _brief(record) for id, record in zip(ids, records, strict=True)}
        for plan in plans:
            for scope in plan.scopes:
                seen[f"fault of {scope.id}"] = await self.works.backend.fault(scope.id)
        return seen


def shown(plans: list[Plan]) -> list[str]:
    """Return the ids of all that has a record."""
    nodes = [node.message.id for plan in plans for node in plan.nodes]
    return [*nodes, *(join.id for plan in plans for join in plan.joins if join.shown)]


def _brief(record: Record | None) -> Any:
    if record is None:
        return None
    return record.state, record.attempt, record.value, record.error, record.plan, record.joined


async def both(sides: tuple[Side, Side], act: Callable[[Side], Awaitable[Any]]) -> Any:
    """Do the same on both sides; fail if it is answered differently."""
    answers = [await act(side) for side in sides]
    assert answers[0] == answers[1]
    return answers[0]


async def values(side: Side, plans: list[Plan]) -> dict[str, Any]:
    """Return what joins have that are still kept."""
    found = {join.id: await side.works.value(join.id) for plan in plans for join in plan.joins}
    return {id: value for id, value in found.items() if value is not None}


class Walk:
    """A workflow on its way. plans: itself, and those that run in place of its tasks."""

    def __init__(self, seed: int, sides: tuple[Side, Side], queue: str) -> None:
        self.chance = random.Random(seed)
        self.sides = sides
        self.works = sides[0].works
        self.plans = [self.works.compiled(any_call(self.chance, 3), id=f"{queue}-{seed}")]

    async def begin(self) -> None:
        """Keep and open it."""
        await both(self.sides, lambda side: side.works.keep(self.plans[0]))
        await both(self.sides, lambda side: side.works.open(self.plans[0]))

    async def step(self) -> None:
        """Do something to it."""
        running = await both(self.sides, Side.take)
        if self.chance.random() < 0.1:
            id = self.chance.choice([*shown(self.plans), *(plan.id for plan in self.plans)])
            await both(self.sides, lambda side: cancelled(side, id))
        elif running:
            await self._end(self.chance.choice(running))
        await both(self.sides, lambda side: side.seen(self.plans))
        first, second = [await values(side, self.plans) for side in self.sides]
        assert {id: first[id] for id in first.keys() & second.keys()} == {
            id: second[id] for id in first.keys() & second.keys()
        }

    async def _end(self, id: str) -> None:
        how = self.chance.choice(("end", "end", "end", "go on", "go on", "fail", "retry"))
        message, instead = self.sides[0].held[id].message, None
        if how == "go on":
            calls = [((call,) if self.chance.random() < 0.3 else ()) for call in (TOLD, BAD)]
            stead = Stead(id, *calls)
            call = any_call(self.chance, 2)
            plan = instead = self.works.compiled(call, id=f"{id}.{message.attempt}", stead=stead)
            await both(self.sides, lambda side: side.works.keep(plan))
        if await both(self.sides, lambda side: side.end(id, how, instead)) and instead is not None:
            self.plans.append(instead)


async def cancelled(side: Side, id: str) -> Any:
    return list(await side.works.submitter.cancel([id], ttl=3600.0))


@pytest.mark.parametrize("seed", range(8))
async def test_store_does_as_memory_does(works: Works, model: Works, seed: int, queue: str) -> None:
    async with AsyncExitStack() as stack:
        crews = [await stack.enter_async_context(each.crew()) for each in (model, works)]
        sides = Side(model, crews[0]), Side(works, crews[1])
        walk = Walk(seed, sides, queue)
        await walk.begin()
        for _ in range(STEPS):
            await walk.step()

        assert any(record is not None for record in await works.backend.get(shown(walk.plans)))

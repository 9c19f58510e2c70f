"""A cancel that races the end of its task: one of the two has happened, and everybody says the same."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aioqueue import Server, State
from aioqueue.errors import TaskCancelledError
from aioqueue.models.state import CancelOutcome
from tests.support.stores import BUILT_IN, Implementation
from tests.support.waiting import eventually, pause, within

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(400)]

RACES, LANES, LEAST = 1_000, 10, 200
LASTS = 0.05


@dataclass
class Race:
    """Tasks that last a moment. began, ended: those that began, and whose finally ran.

    after: seconds that cancels wait now.
    """

    server: Server
    began: dict[int, asyncio.Event] = field(default_factory=dict[int, asyncio.Event])
    ended: set[int] = field(default_factory=set[int])
    after: float = LASTS / 2
    came_to: Counter[str] = field(default_factory=Counter[str])

    def __post_init__(self) -> None:
        @self.server.task
        async def briefly(n: int) -> int:
            self.began[n].set()
            try:
                await asyncio.sleep(LASTS)
            finally:
                self.ended.add(n)
            return n

        self.briefly = briefly

    async def lane(self, numbers: range) -> None:
        """Race one after the other, later where the cancel has won and sooner where it has not."""
        for n in numbers:
            cancelled = await self.race(n, self.after)
            self.after = min(2 * LASTS, self.after * 1.05 + 0.0001) if cancelled else self.after * 0.95

    async def race(self, n: int, after: float) -> bool:
        """Let a task and its cancel race; tell whether the cancel has won."""
        self.began[n] = asyncio.Event()
        result = await self.briefly.send(n)
        await within(self.began[n].wait())
        await pause(after)
        answer = await result.cancel()
        value = None
        with suppress(TaskCancelledError):
            value = await within(result.get())
        state = await result.state()

        won = answer.outcome is CancelOutcome.CANCELLED
        assert value == (None if won else n)
        assert state.state is (State.CANCELLED if won else State.SUCCESS)
        assert state.result == value
        self.came_to[state.state] += 1
        return won


@pytest.mark.parametrize("store", BUILT_IN, ids=lambda store: store.name)
async def test_cancel_and_end_are_never_both(store: Implementation, tmp_path: Path) -> None:
    race = Race(Server(store.url(tmp_path)))
    async with race.server, race.server.worker():
        await asyncio.gather(*(race.lane(range(first, RACES, LANES)) for first in range(LANES)))
        await eventually(lambda: len(race.ended) == RACES)

    print(f"{store.name}: {dict(race.came_to)}")
    assert sum(race.came_to.values()) == RACES
    assert min(race.came_to[State.CANCELLED], race.came_to[State.SUCCESS]) >= LEAST

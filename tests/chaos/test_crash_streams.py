"""A worker that dies at any moment of any store call while a task yields: the last run has told all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from aioqueue import Router, State, StateEvent, ValueEvent
from aioqueue.models.event import Event
from tests.chaos.crashes import Pair, World, over_few_pairs, survives_everywhere
from tests.support.faulty import Faults
from tests.support.waiting import within

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

VALUES = 5
POINTS = 8
"""How many moments there are at least; fewer would mean that calls go by unseen."""


class Streaming(World):
    """A world with a task that yields, in two batches at least."""

    def __init__(self, pair: Pair, folder: Path) -> None:
        super().__init__(pair, folder, Router())

        @self.router.task
        async def rows() -> AsyncIterator[int]:
            for number in range(VALUES):
                yield number
                # one turn of the loop, after which the first batch has left
                await asyncio.sleep(0)

        self.rows = rows

    async def live(self, faults: Faults) -> None:
        """Work until the crash, inherit; follow the task from its first event."""
        sender, server = self.process(), self.process()
        async with sender:
            id = (await sender.send(self.rows.s())).id
        await self.doomed(faults)

        async def done() -> bool:
            (record,) = await server.stores.backend.get([id])
            return record is not None and record.state.final

        async with server:
            await self.inherit(server, done)
            result = server.result(id)
            count = await within(result.get())
            events = [event async for event in result.events()]
        await self.clear_up()
        assert count == VALUES
        assert set(self.commits.values()) == {1}
        _check(events)


def _check(events: list[Event[Any]]) -> None:
    """Check that each run has told its values from the first on, and the last run all of them."""
    (*_, end) = events
    assert isinstance(end, StateEvent)
    assert end.state is State.SUCCESS
    values = [event for event in events if isinstance(event, ValueEvent)]
    runs = [[e.value for e in run] for _, run in groupby(values, lambda e: (e.attempt, e.losses))]
    assert all(run == list(range(len(run))) for run in runs)
    assert runs[-1] == list(range(VALUES))
    assert len({event.id for event in events}) == len(events)


@pytest.mark.parametrize("pair", over_few_pairs())
async def test_stream_of_a_worker_that_dies_at_any_moment_is_whole_in_the_end(
    pair: Pair, tmp_path: Path
) -> None:
    await survives_everywhere(pair, lambda faults: Streaming(pair, tmp_path).live(faults), least=POINTS)

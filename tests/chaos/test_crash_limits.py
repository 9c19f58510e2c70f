"""A worker that dies at any moment of any store call, with tasks that wait for a slot: none stays waiting."""

from __future__ import annotations

from pathlib import Path

import pytest

from aioqueue import RetryPolicy, Router, State, current
from tests.chaos.crashes import Pair, World, over_few_pairs, survives_everywhere
from tests.support.faulty import Faults

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

TASKS = 4


class Slotted(World):
    """A world of tasks of which one runs at once; one of them fails once."""

    def __init__(self, pair: Pair, folder: Path) -> None:
        super().__init__(pair, folder, Router())
        self.inside = 0

        @self.router.task(max_running=1, retry=RetryPolicy(max_retries=1, delay=0.0))
        async def slotted(number: int) -> int:
            self.inside += 1
            try:
                assert self.inside == 1
                if number == 1 and current().attempt == 1:
                    raise ConnectionError("not yet")
                return number
            finally:
                self.inside -= 1

        self.calls = [slotted.s(number) for number in range(TASKS)]

    async def live(self, faults: Faults) -> None:
        """Send, work until the crash, inherit; look how everything stands."""
        sender, server = self.process(), self.process()
        async with sender:
            results = await sender.send_many(self.calls)
        await self.doomed(faults)

        async def done() -> bool:
            found = await server.stores.backend.get([result.id for result in results])
            return all(record is not None and record.state.final for record in found)

        async with server:
            await self.inherit(server, done)
            found = await server.stores.backend.get([result.id for result in results])
            (counts,) = await server.stores.broker.stats(["default"])
        await self.clear_up()
        assert [record and (record.state, record.value) for record in found] == [
            (State.SUCCESS, str(number).encode()) for number in range(TASKS)
        ]
        assert (counts.ready, counts.delayed, counts.held) == (0, 0, 0)
        assert set(self.commits.values()) == {1}


@pytest.mark.parametrize("pair", over_few_pairs())
async def test_worker_that_dies_at_any_moment_leaves_nobody_waiting(pair: Pair, tmp_path: Path) -> None:
    await survives_everywhere(pair, lambda faults: Slotted(pair, tmp_path).live(faults), least=20)

"""A worker dies at any moment of any store call: what is acknowledged early runs once at most, and ends."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from aioqueue import RetryPolicy, Router, State
from aioqueue.codec import decode_error
from tests.chaos.crashes import Pair, World, over_few_pairs, survives_everywhere
from tests.support.faulty import Faults

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]


class Once(World):
    """A world of tasks that must not run twice."""

    def __init__(self, pair: Pair, folder: Path) -> None:
        super().__init__(pair, folder, Router())
        self.runs: Counter[int] = Counter()

        @self.router.task(acks="early", retry=RetryPolicy(max_retries=3, delay=0.0))
        async def once(n: int) -> int:
            self.runs[n] += 1
            return n

        self.calls = [once.s(n) for n in range(3)]

    async def live(self, faults: Faults) -> None:
        """Send, work until the crash, inherit; look how everything stands."""
        sender, server = self.process(), self.process()
        async with sender:
            ids = [result.id for result in await sender.send_many(self.calls)]
        await self.doomed(faults)

        async def done() -> bool:
            return all(r is not None and r.state.final for r in await server.stores.backend.get(ids))

        async with server:
            await self.inherit(server, done)
            found = await server.stores.backend.get(ids)
        await self.clear_up()
        for n, record in enumerate(found):
            assert record is not None
            if record.state is State.FAILURE:
                assert record.error is not None
                assert decode_error(record.error).type == "WorkerLost"
            else:
                assert (record.state, self.runs[n]) == (State.SUCCESS, 1)
        assert max(self.runs.values(), default=1) == 1


@pytest.mark.parametrize("pair", over_few_pairs())
async def test_worker_that_dies_at_any_moment_runs_nothing_twice(pair: Pair, tmp_path: Path) -> None:
    await survives_everywhere(pair, lambda faults: Once(pair, tmp_path).live(faults), least=5)

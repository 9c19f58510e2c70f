"""Load: tasks that are sent until it is known that they were, and looked at when all is over."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from aioqueue import AsyncResult, Server, Signature
from aioqueue.errors import BrokerUnavailableError
from aioqueue.ids import new_id
from aioqueue.protocols.messages import Record
from tests.support.waiting import eventually, pause

_BATCH = 200
_PATIENCE = 60.0


@dataclass
class Load:
    """Tasks of ``tests.chaos.app``, numbered from 0. results: by the number of the task."""

    server: Server
    results: list[AsyncResult[int]] = field(default_factory=list)
    sent_again: int = 0

    async def send(self, count: int) -> None:
        """Send so many more, under ids of their own, again and again until they are."""
        first = len(self.results)
        calls = [
            Signature[int](
                name="work",
                args=[first + n, random.uniform(0.02, 0.2)],
                id=new_id(),
                delay=0.3 if random.random() < 0.1 else 0.0,
            )
            for n in range(count)
        ]
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                self.results += await self.server.send_many(calls)
            except BrokerUnavailableError:
                if time.monotonic() > end:
                    raise
                self.sent_again += 1
            else:
                return

    async def calm(self) -> list[Record]:
        """Wait until every task has ended and nothing is left; return the records."""
        records: list[Record] = []

        async def ended() -> bool:
            ids = [result.id for result in self.results[len(records) :][:_BATCH]]
            for record in await self.server.stores.backend.get(ids):
                if record is None or not record.state.final:
                    await pause(0.1)
                    return False
                records.append(record)
            return len(records) == len(self.results)

        await eventually(ended, deadline=120)
        await eventually(self._nothing_left, deadline=30)
        return records

    async def _nothing_left(self) -> bool:
        (counts,) = await self.server.stores.broker.stats(["default"])
        return (counts.ready, counts.delayed, counts.held, counts.dead) == (0, 0, 0, 0)

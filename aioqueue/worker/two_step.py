"""TwoStepFinisher: ends tasks where broker and backend are separate stores.

Commit, then publish what follows, then settle: a crash between two steps repeats the step and
loses nothing, as the redelivery of a committed attempt publishes again what it released.
"""

from __future__ import annotations

from collections.abc import Sequence

from aioqueue.dispatch import record_of
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.broker import Consumer
from aioqueue.protocols.messages import Delivery, Ending, Message, Settlement, Start, Verdict


class TwoStepFinisher:
    """Claims and commits at the backend, settles at the consumer; the consumer's id is the owner."""

    def __init__(self, consumer: Consumer, backend: Backend, worker: str) -> None:
        self._consumer = consumer
        self._backend = backend
        self._worker = worker

    async def begin(self, deliveries: Sequence[Delivery]) -> Sequence[Start]:
        starts = await self._backend.claim(deliveries, owner=self._consumer.id, worker=self._worker)
        ended = [(d, s) for d, s in zip(deliveries, starts, strict=True) if s.verdict is Verdict.COMMITTED]
        await self._settle([Settlement(d, follow=s.follow, dead=s.dead) for d, s in ended])
        for delivery, start in zip(deliveries, starts, strict=True):
            if start.verdict is Verdict.BUSY:
                await self._consumer.release([delivery], delay=start.delay)
        return starts

    async def finish(self, endings: Sequence[Ending]) -> Sequence[bool]:
        committed = await self._backend.commit(endings, owner=self._consumer.id)
        mine = [ending for ending, ok in zip(endings, committed, strict=True) if ok]
        await self._settle([Settlement(e.delivery, follow=e.follow, dead=e.dead) for e in mine])
        # a refused one is given back: its redelivery finds the commit it lost against and settles
        refused = [ending.delivery for ending, ok in zip(endings, committed, strict=True) if not ok]
        if refused:
            await self._consumer.release(refused)
        return committed

    async def release(self, deliveries: Sequence[Delivery], *, delay: float = 0.0) -> None:
        await self._backend.unclaim(deliveries, owner=self._consumer.id)
        await self._consumer.release(deliveries, delay=delay)

    async def _settle(self, settlements: Sequence[Settlement]) -> None:
        if not settlements:
            return
        wanted = await self._recorded([message for s in settlements for message in s.follow])
        await self._consumer.settle(
            [
                Settlement(s.delivery, tuple(m for m in s.follow if (m.id, m.attempt) in wanted), s.dead)
                for s in settlements
            ]
        )

    async def _recorded(self, follow: Sequence[Message]) -> set[tuple[str, int]]:
        """Write the records of what follows; return what is still to be published."""
        new = [message for message in follow if message.tracked and message.attempt == 1]
        answers: Sequence[bool] = (
            await self._backend.put([record_of(m) for m in new], follow=True) if new else ()
        )
        known = {message.id for message, ok in zip(new, answers, strict=True) if not ok}
        return {
            (message.id, message.attempt)
            for message in follow
            if message.attempt > 1 or message.id not in known
        }

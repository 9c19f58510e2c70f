"""TwoStepFinisher: ends tasks where broker and backend are separate stores.

Commit, then publish what follows and what its workflow has released, then settle: a crash between two
steps repeats the step and loses nothing, as the redelivery of a committed attempt publishes it again.
"""

from __future__ import annotations

from collections.abc import Sequence

from aioqueue.packing import record_of
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.broker import Consumer
from aioqueue.protocols.flow import OPEN
from aioqueue.protocols.messages import Committed, Delivery, Ending, Message, Settlement, Start, Verdict
from aioqueue.protocols.unique import Answer


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
        settlements = [
            Settlement(ending.delivery, (*ending.follow, *await self._released(ending, answer)), ending.dead)
            for ending, answer in zip(endings, committed, strict=True)
            if answer is not None
        ]
        await self._settle(settlements)
        # a refused one is given back: its redelivery finds the commit it lost against and settles
        refused = [e.delivery for e, answer in zip(endings, committed, strict=True) if answer is None]
        if refused:
            await self._consumer.release(refused)
        return [answer is not None for answer in committed]

    async def release(self, deliveries: Sequence[Delivery], *, delay: float = 0.0) -> None:
        await self._backend.unclaim(deliveries, owner=self._consumer.id)
        await self._consumer.release(deliveries, delay=delay)

    async def _released(self, ending: Ending, committed: Committed) -> Sequence[Message]:
        """Return what a workflow releases by an ending."""
        if ending.delivery.message.name == OPEN and ending.state.final:
            return await self._backend.release_more(ending.delivery.message)
        return committed.released

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
        answers: Sequence[Answer] = (
            await self._backend.put([record_of(m) for m in new], follow=True) if new else ()
        )
        known = {message.id for message, ok in zip(new, answers, strict=True) if not ok}
        return {
            (message.id, message.attempt)
            for message in follow
            if message.attempt > 1 or message.id not in known
        }

"""Coalescer: concurrent sends of one process share submits.

What is sent in one turn of the loop goes together, so one alone goes at once; while a submit is on
its way, others gather and go when it has returned. Each send is accepted whole or not at all, and
none pays for its neighbour: a batch that is refused, so that nothing of it was written, is sent
again one send at a time. Only where a store is away is the error that of the whole batch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from aioqueue.errors import UnavailableError
from aioqueue.models.state import CancelOutcome, RescheduleOutcome
from aioqueue.protocols.finisher import Submitter
from aioqueue.protocols.flow import Opening
from aioqueue.protocols.messages import Message, When
from aioqueue.protocols.unique import Answer

MOST: Final = 200
"""Most messages of a batch; a single send that has more goes alone."""

MOST_BYTES: Final = 1_048_576
"""The same for the bytes of all bodies."""


@dataclass(slots=True)
class _Send:
    """What one caller sends. size: bytes of its bodies. alone: it had left, and its batch was refused.

    answer: what the caller hears.
    """

    messages: Sequence[Message]
    limit: int | None
    answer: asyncio.Future[Sequence[Answer]]
    size: int
    alone: bool = False

    @property
    def withdrawn(self) -> bool:
        """True if its caller was cancelled before it left."""
        return self.answer.done() and not self.alone


class Coalescer:
    """A Submitter around *submitter*, in whatever loop it is called; idle, it leaves no task behind."""

    def __init__(self, submitter: Submitter) -> None:
        self._submitter = submitter
        self._lane: _Lane | None = None

    async def open_workflow(self, opening: Opening) -> bool:
        return await self._submitter.open_workflow(opening)

    async def cancel(
        self, ids: Sequence[str], *, ttl: float, waiting: bool = False
    ) -> Sequence[CancelOutcome]:
        return await self._submitter.cancel(ids, ttl=ttl, waiting=waiting)

    async def reschedule(self, id: str, when: When) -> RescheduleOutcome:
        """Give a task another moment."""
        return await self._submitter.reschedule(id, when)

    async def submit(self, messages: Sequence[Message], *, limit: int | None = None) -> Sequence[Answer]:
        """Accept all or none. A caller that is cancelled does not hear what came of it.

        What had not left then is not sent; what is on its way goes on.
        """
        loop = asyncio.get_running_loop()
        if self._lane is None or self._lane.loop is not loop:
            self._lane = _Lane(self._submitter, loop)
        return await self._lane.send(messages, limit)


class _Lane:
    """The sends of one loop: those that gather, and the batch that is on its way."""

    def __init__(self, submitter: Submitter, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._submitter = submitter
        self._gathered: deque[_Send] = deque()
        self._batch: list[_Send] = []
        self._on_its_way: asyncio.Task[Sequence[Answer]] | None = None

    def send(self, messages: Sequence[Message], limit: int | None) -> asyncio.Future[Sequence[Answer]]:
        """Let *messages* go with the next batch; the future has their answers."""
        size = sum([len(message.body) for message in messages])
        send = _Send(messages, limit, self.loop.create_future(), size)
        self._gathered.append(send)
        self._leave()
        return send.answer

    def _leave(self) -> None:
        while self._gathered and self._gathered[0].withdrawn:
            self._gathered.popleft()
        if self._on_its_way is None and self._gathered:
            self._on_its_way = self.loop.create_task(self._submit(), name="coalesced-sends")
            self._on_its_way.add_done_callback(self._returned)

    async def _submit(self) -> Sequence[Answer]:
        # taken here and not before: what was sent in the same turn of the loop goes too
        self._batch = list(self._taken())
        if not self._batch:
            return ()
        messages = [message for send in self._batch for message in send.messages]
        return await self._submitter.submit(messages, limit=self._batch[0].limit)

    def _taken(self) -> Iterator[_Send]:
        """Take what goes next: in order, and no more than a batch may hold."""
        first: _Send | None = None
        count = size = 0
        while self._gathered:
            send = self._gathered[0]
            if not send.withdrawn:
                count, size = count + len(send.messages), size + send.size
                fits = count <= MOST and size <= MOST_BYTES and not send.alone
                if first is not None and not (fits and send.limit == first.limit and not first.alone):
                    return
                first = first or send
                yield send
            self._gathered.popleft()

    def _returned(self, submitted: asyncio.Task[Sequence[Answer]]) -> None:
        batch, self._batch, self._on_its_way = self._batch, [], None
        error = None if submitted.cancelled() else submitted.exception()
        if submitted.cancelled():
            # the loop is at its end
            for send in batch:
                send.answer.cancel()
        elif error is None:
            _answer(batch, submitted.result())
        elif len(batch) > 1 and isinstance(error, Exception) and not isinstance(error, UnavailableError):
            for send in batch:
                send.alone = True
            self._gathered.extendleft(reversed(batch))
        else:
            _fail(batch, error)
        self._leave()


def _answer(batch: Sequence[_Send], answers: Sequence[Answer]) -> None:
    start = 0
    for send in batch:
        end = start + len(send.messages)
        if not send.answer.done():
            send.answer.set_result(answers[start:end])
        start = end


def _fail(batch: Sequence[_Send], error: BaseException) -> None:
    for send in batch:
        if not send.answer.done():
            send.answer.set_exception(error)

"""Letters: the dead letters, listed, shown, sent anew and dropped.

A letter that is sent anew is sent first and dropped then: a crash in between sends the same id again, which
is known. It opens no workflow again: its new id is none of a workflow's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

from aioqueue import codec
from aioqueue.errors import ResultNotFoundError, SignatureError
from aioqueue.ids import RESERVED, derived_id, is_name
from aioqueue.models.signature import Signature
from aioqueue.models.stats import DeadLetter, LetterPage
from aioqueue.protocols.messages import Message
from aioqueue.results import AsyncResult
from aioqueue.stores import Stores

_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class OpenedLetter:
    """A dead letter and the call it holds. problem: why there is no call that can be shown."""

    letter: DeadLetter
    call: Signature[Any] | None = None
    problem: str | None = None


class DeadLetters:
    """The dead letters of a Server that is open. Methods raise BrokerUnavailableError, ConfigurationError."""

    def __init__(
        self, opened: Callable[[], Stores], limit: int | None, result: Callable[[str], AsyncResult[Any]]
    ) -> None:
        self._opened = opened
        self._limit = limit
        self._result = result

    async def list(
        self, *, queue: str | None = None, after: str | None = None, limit: int = 100
    ) -> LetterPage:
        """Return a page of them, newest first. after: the ``next`` of the page before, for the next one."""
        return await self._opened().broker.letters(queue=queue, after=after, limit=limit)

    async def show(self, id: str | DeadLetter) -> OpenedLetter:
        """Return the newest letter of the task *id*, or the one of that key, and its call if it can be read.

        Raises ResultNotFoundError.
        """
        letter = await self._found(id)
        try:
            return OpenedLetter(letter, codec.decode(_message(letter, letter.id)))
        except codec.DecodeError as exc:
            return OpenedLetter(letter, problem=str(exc))

    async def requeue(self, id: str | DeadLetter, *, queue: str | None = None) -> AsyncResult[Any]:
        """Send the call of a dead letter anew, drop the letter, and return the new task's result.

        Its id derives from the letter's, so to repeat it is safe; the header ``requeued_from`` names the task
        that died. Queue, unless another is named, and priority are kept, an ``expires`` is not. What cannot
        be decoded here is sent as it is. Raises ResultNotFoundError, SignatureError, QueueFullError.
        """
        stores, letter = self._opened(), await self._found(id)
        if not is_name(letter.name) or letter.name.startswith(RESERVED):
            raise SignatureError(
                f"the dead letter {letter.key} names no task that can be sent, but {letter.name!r}"
            )
        if queue is not None and not is_name(queue):
            raise SignatureError(f"{queue!r} is no name of a queue")
        new = derived_id(letter.id if is_name(letter.id) else "letter", f"r{letter.key}")
        message = _message(letter, new, queue=queue, sent=stores.clock.time())
        await stores.submitter().submit([message], limit=self._limit)
        await stores.broker.discard([letter.key])
        return self._result(new)

    async def delete(self, id: str | DeadLetter) -> DeadLetter:
        """Drop a dead letter, and return it. Raises ResultNotFoundError."""
        letter = await self._found(id)
        await self._opened().broker.discard([letter.key])
        return letter

    async def purge(self, *, queue: str | None = None) -> int:
        """Drop all there are, of *queue* alone if one is named; return how many there were."""
        broker, after, gone = self._opened().broker, None, 0
        while True:
            page = await broker.letters(queue=queue, after=after, limit=_PAGE)
            gone += await broker.discard([letter.key for letter in page.letters])
            after = page.next
            if after is None:
                return gone

    async def all(self, *, queue: str | None = None) -> AsyncIterator[DeadLetter]:
        """Yield all there are, newest first."""
        after: str | None = None
        while True:
            page = await self.list(queue=queue, after=after, limit=_PAGE)
            for letter in page.letters:
                yield letter
            after = page.next
            if after is None:
                return

    async def _found(self, id: str | DeadLetter) -> DeadLetter:
        if isinstance(id, DeadLetter):
            return id
        async for letter in self.all():
            if id in (letter.id, letter.key):
                return letter
        raise ResultNotFoundError(f"there is no dead letter of a task {id!r}; `list` shows those there are")


def _message(letter: DeadLetter, id: str, *, queue: str | None = None, sent: float = 0.0) -> Message:
    """Return what is sent for a letter."""
    body = codec.requeued(letter.body, letter.id) if sent else letter.body
    return Message(id, letter.name, queue or letter.queue, body, priority=letter.priority, sent=sent)

"""RedisSubmitter: sends record and message in one script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aioqueue import advance
from aioqueue.adapters.redis import flow
from aioqueue.adapters.redis.core import Access
from aioqueue.adapters.redis.link import Value
from aioqueue.adapters.redis.rows import claim_args, message_args, milliseconds, moment_args
from aioqueue.errors import PayloadTooLargeError, QueueFullError
from aioqueue.ids import is_name
from aioqueue.models.state import CancelOutcome, RescheduleOutcome
from aioqueue.protocols.flow import Opening
from aioqueue.protocols.messages import Message, Rescheduled, When
from aioqueue.protocols.unique import Answer, Held

MOST: Final = 50_000
"""Messages of one call: for about a second the server does nothing else."""

_AGAIN: Final = 1


class RedisSubmitter:
    """Accepts all or none in one step, so a great many at once keep the server from others."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def submit(self, messages: Sequence[Message], *, limit: int | None = None) -> Sequence[Answer]:
        if [message for message in messages if message.unique is not None]:
            return await admit(self._access, messages, limit=limit)
        return await send(self._access, messages, recorded=True, limit=limit)

    async def open_workflow(self, opening: Opening) -> bool:
        return await flow.start(self._access, opening)

    async def cancel(
        self, ids: Sequence[str], *, ttl: float, waiting: bool = False
    ) -> Sequence[CancelOutcome]:
        return await flow.cancel(self._access, ids, ttl=ttl, waiting=waiting)

    async def reschedule(self, id: str, when: When) -> RescheduleOutcome:
        return (await reschedule(self._access, id, when, here=True)).outcome


async def reschedule(access: Access, id: str, when: When, *, here: bool) -> Rescheduled:
    """Give a task that waits another moment. here: its message is in this store, and goes with it."""
    if not is_name(id):
        return Rescheduled(RescheduleOutcome.NOT_FOUND)
    word, *where = await access.script("reschedule", int(here), id, *moment_args(when))
    queue, attempt = where or (b"", 1)
    return Rescheduled(RescheduleOutcome(word.decode()), queue.decode(), int(attempt))


async def send(
    access: Access, messages: Sequence[Message], *, recorded: bool, limit: int | None = None
) -> list[bool]:
    """Write messages, *recorded* with their records. Raises QueueFullError, also at the maxmemory."""
    if not messages:
        return []
    _require_few(messages)
    most = -1 if limit is None else limit
    replies = access.session.replies
    sender = replies.expect(messages) if recorded else ""
    args = (int(recorded), 0, most, sender, *message_args(messages))
    answers = await access.sending("send", *args, again=_AGAIN)
    if answers and isinstance(answers[0], bytes):
        queue, held, more = answers
        raise QueueFullError.of(queue.decode(), limit=most, held=held, new=more)
    for message, answer in zip(messages, answers, strict=True) if sender else ():
        if answer != 1:
            replies.drop(message)
    return [answer == 1 for answer in answers]


async def admit(access: Access, messages: Sequence[Message], *, limit: int | None = None) -> list[Answer]:
    """Write messages with their records, of which some claim keys. Raises as ``send``."""
    _require_few(messages)
    most = -1 if limit is None else limit
    args: list[Value] = []
    for message in messages:
        args += (*message_args([message]), *_claim_args(message))
    answers = await access.sending("admit", 0, most, *args, again=0)
    if answers and isinstance(answers[0], list):
        queue, held, more = answers[0]
        raise QueueFullError.of(queue.decode(), limit=most, held=held, new=more)
    return [Held(answer.decode()) if isinstance(answer, bytes) else answer == 1 for answer in answers]


def _claim_args(message: Message) -> tuple[Value, Value, Value]:
    unique = message.unique
    # one without a record has ended, for all that anybody could know
    if unique is None or not message.tracked or message.attempt > 1:
        return "", "", ""
    replace = -1 if unique.replace is None else milliseconds(unique.replace)
    key, how = claim_args(unique)
    collapse = -1 if unique.collapse is None else milliseconds(unique.collapse)
    return (
        key,
        f"{how} {replace} {collapse}",
        b"" if unique.replace is None else advance.cancelled("{id}", message.name),
    )


def _require_few(messages: Sequence[Message]) -> None:
    if len(messages) > MOST:
        raise PayloadTooLargeError(
            f"{len(messages)} calls are too many at once, so none was sent; send at most {MOST:,} at a time"
        )

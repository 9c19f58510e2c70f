"""SqliteSubmitter: sends new tasks, record and message in one transaction.

A limit is looked at in that transaction too, so no two senders pass it together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from aioqueue.adapters.sqlite import keys, messages, moment, records
from aioqueue.adapters.sqlite.cancel import cancel
from aioqueue.adapters.sqlite.core import Access
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.move import Move
from aioqueue.errors import QueueFullError
from aioqueue.models.state import CancelOutcome, RescheduleOutcome
from aioqueue.protocols.flow import Opening
from aioqueue.protocols.messages import Message, When
from aioqueue.protocols.unique import Answer, Held


def submit(tx: Transaction, sent: Sequence[Message], limit: int | None = None) -> list[bool]:
    """Add new tasks, records first; False for each id that has a record or a message already.

    limit: most messages a queue may hold then. Raises QueueFullError before anything is written.
    """
    known = records.known(tx, (message.id for message in sent if _is_new(message)))
    copies = messages.copies(tx, sent)
    accepted: list[Message] = []
    added: list[bool] = []
    for message in sent:
        key = messages.key_of(message)
        new = key not in copies and not (_is_new(message) and message.id in known)
        added.append(new)
        if new:
            copies.add(key)
            known.add(message.id)
            accepted.append(message)
    if limit is not None:
        _require_room(tx, accepted, limit)
    records.save(tx, [records.pending(message, tx.now) for message in accepted if _is_new(message)])
    messages.add(tx, [(message, 0) for message in accepted])
    return added


def admit(tx: Transaction, sent: Sequence[Message], limit: int | None = None) -> list[Answer]:
    """Add new tasks of which some claim keys: one after the other, each by what was written of those before.

    An error undoes the transaction, and so all of it.
    """
    answers: list[Answer] = []
    for message in sent:
        unique = message.unique
        if unique is not None and _is_new(message) and not records.known(tx, [message.id]):
            holder = keys.holder(tx, unique, message.id)
            if holder is not None and unique.collapse is not None:
                moment.collapse(tx, holder, unique, message)
            if holder is not None and unique.replace is None:
                answers.append(Held(holder))
                continue
            if holder is not None and unique.replace is not None:
                cancel_all(tx, [holder], unique.replace)
            keys.take(tx, unique, message.id, message.due(tx.now))
        answers += submit(tx, [message], limit)
    return answers


def open_workflow(tx: Transaction, opening: Opening) -> bool:
    """Start a workflow, and publish its first messages; False if it was before."""
    move = Move(tx, {})
    first = move.open(opening)
    move.write()
    records.save(tx, move.changed.values())
    messages.publish(tx, move.messages)
    return first


def cancel_all(
    tx: Transaction, ids: Sequence[str], ttl: float, *, waiting: bool = False
) -> list[CancelOutcome]:
    """Cancel, and publish what that releases. waiting: what runs is spared."""
    answers = cancel(tx, ids, ttl, here=True, waiting=waiting)
    messages.publish(tx, [message for answer in answers for message in answer.released])
    return [answer.outcome for answer in answers]


def _require_room(tx: Transaction, accepted: Sequence[Message], limit: int) -> None:
    for queue, new in Counter(message.queue for message in accepted).items():
        held = messages.size(tx, queue)
        if held + new > limit:
            raise QueueFullError.of(queue, limit=limit, held=held, new=new)


def _is_new(message: Message) -> bool:
    return message.tracked and message.attempt == 1


class SqliteSubmitter:
    """Accepts a batch as a whole or not at all."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def submit(self, messages: Sequence[Message], *, limit: int | None = None) -> Sequence[Answer]:
        if [message for message in messages if message.unique is not None]:
            return await self._access.write(lambda tx: admit(tx, messages, limit))
        return await self._access.write(lambda tx: submit(tx, messages, limit))

    async def open_workflow(self, opening: Opening) -> bool:
        return await self._access.write(lambda tx: open_workflow(tx, opening))

    async def cancel(
        self, ids: Sequence[str], *, ttl: float, waiting: bool = False
    ) -> Sequence[CancelOutcome]:
        return await self._access.write(lambda tx: cancel_all(tx, ids, ttl, waiting=waiting))

    async def reschedule(self, id: str, when: When) -> RescheduleOutcome:
        answer = await self._access.write(lambda tx: moment.reschedule(tx, id, when, here=True))
        return answer.outcome

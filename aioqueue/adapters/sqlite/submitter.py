"""SqliteSubmitter: sends new tasks, record and message in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from aioqueue.adapters.sqlite import messages, records
from aioqueue.adapters.sqlite.core import Access
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.protocols.messages import Message


def submit(tx: Transaction, sent: Sequence[Message]) -> list[bool]:
    """Add new tasks, records first; False for each id that has a record or a message already."""
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
    records.save(tx, [records.pending(message, tx.now) for message in accepted if _is_new(message)])
    messages.add(tx, [(message, 0) for message in accepted])
    return added


def _is_new(message: Message) -> bool:
    return message.tracked and message.attempt == 1


class SqliteSubmitter:
    """Accepts a batch as a whole or not at all."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def submit(self, messages: Sequence[Message]) -> Sequence[bool]:
        return await self._access.write(lambda tx: submit(tx, messages))

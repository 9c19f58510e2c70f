"""Listing: pages of what is in a queue and of the dead letters, and how some of it is dropped.

A page walks along an index from where the one before ended, so that it costs what it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from aioqueue.adapters.sqlite import messages
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.rows import LISTED, listed
from aioqueue.cursor import cursor, numbers_of
from aioqueue.models.stats import DeadLetter, LetterPage, QueueEntry, QueuePage, Where

_COLUMNS: Final = "id, name, attempt, hop, priority, losses, tracked, sent, due, owner, seq"
_LETTER: Final = "seq, id, name, queue, priority, attempt, reason, at, body"
_START: Final = {Where.PENDING: (-10, -1), Where.DELAYED: (-1.0, -1), Where.RUNNING: (0, -1)}


def inspect(
    tx: Transaction, queue: str, where: Where, *, after: str | None, limit: int, bodies: bool
) -> QueuePage:
    """Return a page of a queue. What is due is made ready first, as far as one step goes."""
    messages.promote(tx, [queue])
    first, seq = numbers_of(after, 2) or _START[where]
    columns = f"{_COLUMNS}, {'body' if bodies else 'NULL'}"
    rows = tx.db.execute(
        _WALKS[where].format(columns=columns),
        {
            "queue": queue,
            "first": -first if where is Where.PENDING else first,
            "seq": seq,
            "limit": limit + 1,
        },
    ).fetchall()
    entries = tuple(_entry(row, queue, where) for row in rows[:limit])
    return QueuePage(entries=entries, next=entries[-1].place if len(rows) > limit > 0 else None)


def _walk(state: int, rest: str, order: str) -> str:
    return (
        f"SELECT * FROM (SELECT {{columns}} FROM messages WHERE state = {state} AND queue = :queue AND {rest}"
        f" ORDER BY {order} LIMIT :limit)"
    )


def _walks(states: Sequence[int], column: str, beyond: str, order: str) -> str:
    """Return the union of the walks from where a page begins: along the same value, then beyond it."""
    walks = [
        _walk(state, rest, order)
        for state in states
        for rest in (f"{column} = :first AND seq > :seq", f"{column} {beyond} :first")
    ]
    return f"SELECT * FROM ({' UNION ALL '.join(walks)}) ORDER BY {order} LIMIT :limit"


_WALKS: Final = {
    Where.PENDING: _walks((1, 3), "priority", "<", "priority DESC, seq"),
    Where.DELAYED: _walks((0,), "due", ">", "due, seq"),
    # as many are held as there are slots: not even their index is large, and the table is not walked along
    Where.RUNNING: "SELECT {columns} FROM messages WHERE state = 2 AND +queue = :queue AND +seq > :seq"
    " AND :first = :first ORDER BY +seq LIMIT :limit",
}


def _entry(row: tuple[Any, ...], queue: str, where: Where) -> QueueEntry:
    id, name, attempt, hop, priority, losses, tracked, sent, due, owner, seq, body = row
    first = {Where.PENDING: -priority, Where.DELAYED: due, Where.RUNNING: 0}[where]
    return QueueEntry(
        id=id,
        name=name,
        queue=queue,
        place=cursor(first, seq),
        attempt=attempt,
        hop=hop,
        priority=priority,
        losses=losses,
        tracked=bool(tracked),
        sent=sent or None,
        due=due if where is Where.DELAYED else None,
        holder=owner,
        body=body,
    )


def remove(tx: Transaction, entries: Sequence[QueueEntry]) -> int:
    """Forget those that still wait."""
    gone: list[int] = []
    for entry in entries:
        removed = tx.db.execute(
            "DELETE FROM messages WHERE id = ? AND attempt = ? AND hop = ? AND +state <> 2 RETURNING seq",
            (entry.id, entry.attempt, entry.hop),
        )
        gone += [seq for (seq,) in removed.fetchall()]
    messages.give_up(tx, gone)
    return len(gone)


def letters(tx: Transaction, *, queue: str | None, after: str | None, limit: int) -> LetterPage:
    """Return a page of the dead letters."""
    past = numbers_of(after, 1)
    terms = ["queue = :queue"] if queue is not None else []
    terms += ["seq < :past"] if past is not None else []
    found = tx.db.execute(
        f"SELECT {_LETTER} FROM dead {'WHERE' if terms else ''} {' AND '.join(terms)}"
        " ORDER BY seq DESC LIMIT :limit",
        {"queue": queue, "past": None if past is None else past[0], "limit": limit + 1},
    ).fetchall()
    page = tuple(_letter(row) for row in found[:limit])
    return LetterPage(letters=page, next=page[-1].key if len(found) > limit > 0 else None)


def _letter(row: tuple[Any, ...]) -> DeadLetter:
    seq, id, name, queue, priority, attempt, reason, at, body = row
    return DeadLetter(
        id=id,
        name=name,
        queue=queue,
        reason=reason,
        body=body,
        attempt=attempt,
        at=at,
        priority=priority,
        key=str(seq),
    )


def discard(tx: Transaction, keys: Sequence[str]) -> int:
    """Drop dead letters."""
    seqs = listed(int(key) for key in keys if key.isdigit())
    return tx.db.execute(f"DELETE FROM dead WHERE seq IN {LISTED}", (seqs,)).rowcount

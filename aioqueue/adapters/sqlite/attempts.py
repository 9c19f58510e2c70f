"""Attempts: every statement that touches those that have ended and were not the last.

Nothing is written for a task that succeeds at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.records import Entry
from aioqueue.adapters.sqlite.rows import LISTED, Value, insert, listed
from aioqueue.models.state import State
from aioqueue.protocols.messages import HISTORY, Attempt, Ending

_ADD: Final = "INSERT INTO attempts (id, number, error, worker, started, ended, next_at)"


def tried(tx: Transaction, ended: Iterable[tuple[Entry, Ending]]) -> None:
    """Remember attempts that another one follows, each with the record it has been written to."""
    _add(
        tx,
        [
            (e.id, e.attempt, ending.error, e.worker, e.started, tx.now, ending.next_at)
            for e, ending in ended
            if ending.state is State.RETRY
        ],
    )


def lost(tx: Transaction, entries: Iterable[Entry]) -> None:
    """Remember attempts whose owners died, by records that still read STARTED."""
    _add(tx, [(e.id, e.attempt, None, e.worker, e.started, tx.now, None) for e in entries])


def history(tx: Transaction, id: str) -> list[Attempt]:
    """Return what is remembered of a task, oldest first; not what a task of the same id came to before."""
    found = tx.db.execute(
        "SELECT number, a.error, a.worker, a.started, ended, next_at FROM attempts AS a JOIN tasks USING (id)"
        " WHERE id = ? AND NOT forgotten AND shown > ? AND ended >= coalesce(sent, 0)"
        " ORDER BY seq DESC LIMIT ?",
        (id, tx.now, HISTORY),
    )
    return [Attempt(*row) for row in reversed(found.fetchall())]


def _add(tx: Transaction, rows: Sequence[Sequence[Value]]) -> None:
    if not rows:
        return
    insert(tx.db, _ADD, rows)
    ids = listed({str(row[0]) for row in rows})
    tx.db.execute(
        f"DELETE FROM attempts WHERE id IN {LISTED} AND seq <= (SELECT seq FROM attempts AS later"
        " WHERE later.id = attempts.id ORDER BY seq DESC LIMIT 1 OFFSET ?)",
        (ids, HISTORY),
    )

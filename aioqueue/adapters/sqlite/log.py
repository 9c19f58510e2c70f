"""Log: every statement that touches what the runs of a task have told.

Nothing is written for a task that tells nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from aioqueue.adapters.sqlite import records, scopes
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.rows import LISTED, Value, insert, listed
from aioqueue.protocols.log import (
    LOG_BYTES,
    LOG_PAGE,
    LOG_PROGRESS,
    LOG_VALUES,
    PAGE_BYTES,
    LogEntry,
    Note,
    thousandths,
)

_ADD: Final = (
    "INSERT INTO log"
    " (id, number, attempt, losses, started, at, is_value, written, values_yet, bytes_yet, data)"
)
_LAST: Final = (
    "SELECT number, attempt, losses, started, at, written, values_yet, bytes_yet FROM log"
    " WHERE id = ? ORDER BY number DESC LIMIT 1"
)
_STEP: Final = 1_000

_Run = tuple[int, int, int]


class _End(NamedTuple):
    """The end of a log: number of the last entry, its run, when, and what it counts."""

    number: int = 0
    attempt: int = 0
    losses: int = 0
    started: int = 0
    at: float = 0.0
    written: int = 0
    values: int = 0
    size: int = 0


def note(tx: Transaction, id: str, notes: Sequence[Note], *, first: int, attempt: int, owner: str) -> bool:
    """Add what *owner*'s attempt tells; False if it is not its to say."""
    entry = records.load(tx, [id]).get(id)
    if entry is None or not entry.visible(tx.now) or not entry.running:
        return False
    if entry.owner != owner or entry.attempt != attempt or _barred(tx, id):
        return False
    end = _end(tx, id)
    if end.at < (entry.sent or 0.0):
        # what a task of the same id told before
        tx.db.execute("DELETE FROM log WHERE id = ?", (id,))
        end = _End()
    run = (entry.attempt, entry.losses, thousandths(entry.started))
    written = end.written if run == (end.attempt, end.losses, end.started) else 0
    _add(tx, id, run, notes[max(0, written - first) :], end._replace(written=written))
    # who waits is told as at its end, and looks for itself
    tx.news.ended.add(id)
    return True


def _barred(tx: Transaction, id: str) -> bool:
    bar = scopes.barred(tx, [id]).get(id)
    return bar is not None and bar.since(running=True) is not None


def _end(tx: Transaction, id: str) -> _End:
    row = tx.db.execute(_LAST, (id,)).fetchone()
    return _End() if row is None else _End(*row)


def _add(tx: Transaction, id: str, run: _Run, notes: Sequence[Note], end: _End) -> None:
    rows: list[Sequence[Value]] = []
    values, size = end.values, end.size
    for nth, note in enumerate(notes, 1):
        values, size = values + note.value, size + len(note.data) * note.value
        numbers = (end.number + nth, *run, tx.now, int(note.value), end.written + nth, values, size)
        rows.append((id, *numbers, note.data))
    insert(tx.db, _ADD, rows)
    if not all(note.value for note in notes):
        tx.db.execute(
            "DELETE FROM log WHERE id = ? AND is_value = 0 AND number <= (SELECT number FROM log AS later"
            " WHERE later.id = log.id AND is_value = 0 ORDER BY number DESC LIMIT 1 OFFSET ?)",
            (id, LOG_PROGRESS),
        )
    if values > LOG_VALUES or size > LOG_BYTES:
        _make_room(tx, id, run, values - LOG_VALUES, size - LOG_BYTES)


def _make_room(tx: Transaction, id: str, run: _Run, values: int, size: int) -> None:
    """Drop some of the oldest values of earlier runs: so many of all there were, or of so many bytes."""
    oldest = tx.db.execute(
        "SELECT number, attempt, losses, started, values_yet, bytes_yet FROM log"
        " WHERE id = ? AND is_value = 1 ORDER BY number LIMIT ?",
        (id, _STEP),
    ).fetchall()
    gone = [
        number
        for number, *earlier, values_yet, bytes_yet in oldest
        if tuple(earlier) != run and (values_yet <= values or bytes_yet <= size)
    ]
    tx.db.execute(f"DELETE FROM log WHERE id = ? AND number IN {LISTED}", (id, listed(gone)))


def drop(tx: Transaction, ids: Iterable[str]) -> None:
    """Drop all that these tasks have told."""
    tx.db.execute(f"DELETE FROM log WHERE id IN {LISTED}", (listed(ids),))


def page(tx: Transaction, id: str, after: int) -> tuple[tuple[LogEntry, ...], bool]:
    """Return entries of a task behind a number, and whether there are more."""
    found: list[LogEntry] = []
    size = 0
    cursor = tx.db.execute(
        "SELECT number, log.attempt, log.losses, log.started, at, is_value, data"
        " FROM log JOIN tasks USING (id)"
        " WHERE id = ? AND number > ? AND at >= coalesce(sent, 0) ORDER BY number LIMIT ?",
        (id, after, LOG_PAGE + 1),
    )
    for number, attempt, losses, started, at, is_value, data in cursor:
        if len(found) == LOG_PAGE or size >= PAGE_BYTES:
            cursor.close()
            return tuple(found), True
        found.append(LogEntry(number, attempt, losses, started, at, bool(is_value), data))
        size += len(data)
    return tuple(found), False

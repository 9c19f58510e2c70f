"""Records: every statement that touches the tasks' records, and what becomes of one.

Transitions change an Entry in memory; ``save`` writes it whole. All of it happens inside one
transaction, so nobody else changes a row between its reading and its writing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Final

from aioqueue.adapters.sqlite import scopes
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.rows import LISTED, Value, insert, listed
from aioqueue.codec import encode_messages
from aioqueue.models.state import FINAL, State
from aioqueue.protocols.messages import COMMIT_TTL, OPEN_TTL, Ending, Message, Record


@dataclass(slots=True)
class Entry:
    """A row of ``tasks``. owner: whose attempt runs, or ended; nobody's once it was given back.

    shown, kept: Unix seconds until which it is shown, and kept. released: what the commit of one
    of two stores released, encoded; None where broker and backend are one. moved: what the workflow
    of the task released by it. plan, joined: as in a Record.
    """

    id: str
    name: str
    queue: str
    state: State
    attempt: int
    losses: int
    sent: float | None
    started: float | None
    finished: float | None
    due: float | None
    worker: str | None
    owner: str | None
    forgotten: int
    shown: float
    kept: float
    dead: str | None
    error: bytes | None
    value: bytes | None
    released: bytes | None
    moved: bytes | None = None
    plan: str | None = None
    joined: str | None = None

    def record(self) -> Record:
        return Record(
            self.id,
            self.name,
            self.queue,
            self.state,
            self.attempt,
            self.losses,
            self.sent,
            self.started,
            self.finished,
            self.due,
            self.worker,
            self.value,
            self.error,
            self.plan,
            self.joined,
        )

    @property
    def running(self) -> bool:
        """True while an attempt runs; a task that goes on as a workflow runs no more."""
        return self.state is State.STARTED and self.plan is None

    @property
    def ended(self) -> bool:
        """True when nothing of the task runs any more; it may go on as a workflow."""
        return self.state.final or self.plan is not None

    def visible(self, now: float) -> bool:
        return not self.forgotten and self.shown > now

    def ended_by(self, owner: str, attempt: int) -> bool:
        """Tell whether *owner* has committed this attempt before."""
        return self.owner == owner and self.attempt == attempt and not self.running

    def row(self) -> tuple[Value, ...]:
        emptied = self.value is None and self.error is None
        return (*_fields(self), self.kept if emptied else min(self.shown, self.kept))


_NAMES: Final = tuple(field.name for field in fields(Entry))
# Plain text for the state: of a subclass of str sqlite3 would first ask how it is to be adapted.
_fields: Final = attrgetter(*("state.value" if name == "state" else name for name in _NAMES))
_COLUMNS: Final = ", ".join(_NAMES)
# Whole rows are written, and to replace one is a third cheaper than ON CONFLICT DO UPDATE.
_SAVE: Final = f"INSERT OR REPLACE INTO tasks ({_COLUMNS}, look)"
_STATE_AT: Final = _NAMES.index("state")
_STATES: Final = {state.value: state for state in State}
_WAITS: Final = "state IN ('PENDING', 'RETRY')"


def load(tx: Transaction, ids: Iterable[str]) -> dict[str, Entry]:
    """Return the records there are, by id."""
    found = tx.db.execute(
        f"SELECT {_COLUMNS} FROM tasks WHERE id IN {LISTED} AND kept > ?", (listed(ids), tx.now)
    )
    return {row[0]: _entry(row) for row in found}


def _entry(row: tuple[Any, ...]) -> Entry:
    entry = Entry(*row)
    entry.state = _STATES[row[_STATE_AT]]
    return entry


def save(tx: Transaction, entries: Iterable[Entry]) -> None:
    """Write records, new or changed."""
    insert(tx.db, _SAVE, [entry.row() for entry in entries])


def remove(tx: Transaction, ids: Iterable[str]) -> None:
    """Drop records, with what is remembered of their attempts and what those told."""
    gone = (listed(ids),)
    tx.db.execute(f"DELETE FROM tasks WHERE id IN {LISTED}", gone)
    tx.db.execute(f"DELETE FROM attempts WHERE id IN {LISTED}", gone)
    tx.db.execute(f"DELETE FROM log WHERE id IN {LISTED}", gone)


def empty(tx: Transaction, ids: Iterable[str]) -> None:
    """Keep of records what tells that their tasks have ended, and no value."""
    emptied = (listed(ids),)
    tx.db.execute(f"UPDATE tasks SET value = NULL, error = NULL, look = kept WHERE id IN {LISTED}", emptied)
    tx.db.execute(f"DELETE FROM log WHERE id IN {LISTED}", emptied)


def known(tx: Transaction, ids: Iterable[str]) -> set[str]:
    """Return those of *ids* that have a record."""
    found = tx.db.execute(f"SELECT id FROM tasks WHERE id IN {LISTED} AND kept > ?", (listed(ids), tx.now))
    return {id for (id,) in found}


def over(tx: Transaction, ids: Sequence[str]) -> list[str]:
    """Return those of *ids* that nobody needs to wait for: ended, hidden or gone."""
    final = ", ".join(f"'{state}'" for state in sorted(FINAL))
    found = tx.db.execute(
        f"SELECT id, state = 'STARTED' AND plan IS NULL FROM tasks WHERE id IN {LISTED} AND shown > ?"
        f" AND NOT forgotten AND state NOT IN ({final})",
        (listed(ids), tx.now),
    )
    open = {id: bool(running) for id, running in found}
    for id, bar in scopes.barred(tx, open).items():
        if bar.since(running=open[id]) is not None:
            del open[id]
    return [id for id in ids if id not in open]


def pending(message: Message, now: float) -> Entry:
    """Return the record of a task that is sent."""
    due = message.due(now)
    kept = max(due, now) + OPEN_TTL
    return opened(
        Record(message.id, message.name, message.queue, sent=message.sent or now, due=due), until=kept
    )


def opened(record: Record, *, until: float) -> Entry:
    """Return *record* as a row that is kept until a moment."""
    return Entry(
        id=record.id,
        name=record.name,
        queue=record.queue,
        state=record.state,
        attempt=record.attempt,
        losses=record.losses,
        sent=record.sent,
        started=record.started,
        finished=record.finished,
        due=record.due,
        worker=record.worker,
        owner=None,
        forgotten=0,
        shown=until,
        kept=until,
        dead=None,
        error=record.error,
        value=record.value,
        released=None,
    )


def start(entry: Entry, attempt: int, *, owner: str, worker: str, now: float) -> None:
    """Let *owner* start an attempt."""
    entry.state, entry.attempt = State.STARTED, attempt
    entry.owner, entry.worker = owner, worker
    entry.started, entry.due = now, None
    entry.released = entry.moved = entry.dead = None
    entry.shown = entry.kept = now + OPEN_TTL


def end(entry: Entry, ending: Ending, *, owner: str, now: float, keep: float = 0.0) -> None:
    """Write what *owner*'s attempt came to. keep: least seconds a final record stays."""
    entry.state, entry.attempt = ending.state, ending.delivery.message.attempt
    entry.owner = owner
    entry.value, entry.error = ending.value, ending.error
    entry.plan = None if ending.opening is None else ending.opening.workflow
    if not ending.state.final:
        entry.due = ending.next_at
        entry.shown = entry.kept = max(ending.next_at or now, now) + OPEN_TTL
        return
    entry.finished = now
    entry.due = None
    entry.shown = now + ending.ttl
    entry.kept = now + max(ending.ttl, keep)
    if entry.forgotten or ending.ttl <= 0:
        hide(entry, now)


def decide(
    entry: Entry,
    state: State,
    *,
    error: bytes | None = None,
    value: bytes | None = None,
    joined: str | None = None,
    ttl: float,
    now: float,
) -> None:
    """Write a final state that no attempt has brought about. ttl: seconds it is shown.

    It outlasts the message, which may come when it is due.
    """
    late = max(now, entry.due or now) + COMMIT_TTL
    entry.state, entry.error, entry.value, entry.joined = state, error, value, joined
    entry.due = None
    if entry.plan is None:
        entry.owner = entry.dead = entry.moved = None
        # a copy of its message may still be on its way
        entry.released = encode_messages(())
    entry.finished = now
    entry.shown, entry.kept = now + ttl, max(now + ttl, late)
    if entry.forgotten:
        hide(entry, now)


def release(entry: Entry, message: Message, now: float) -> None:
    """Write when a planned task is due."""
    if not entry.state.final:
        entry.due = message.due(now)
        entry.shown = entry.kept = max(entry.due, now) + OPEN_TTL


def hide(entry: Entry, now: float) -> None:
    """Show an ended record no more, and keep no value."""
    entry.forgotten, entry.shown = 1, now
    entry.value = entry.error = entry.joined = None


def stop(tx: Transaction, ids: Iterable[str], *, owner: str, losses: int = 0) -> None:
    """Write that *owner*'s attempts never were, or with *losses* that it died with them."""
    tx.db.execute(
        "UPDATE tasks SET state = iif(attempt > 1, 'RETRY', 'PENDING'), owner = NULL, worker = NULL,"
        f" started = NULL, losses = losses + ? WHERE id IN {LISTED} AND state = 'STARTED' AND plan IS NULL"
        " AND owner = ?",
        (losses, listed(ids), owner),
    )


def put_off(tx: Transaction, waits: Mapping[str, float], *, owner: str) -> None:
    """Write that tasks wait until these moments, also those that *owner* had begun."""
    stop(tx, waits, owner=owner)
    tx.db.executemany(
        "UPDATE tasks SET due = :due, kept = max(kept, :until), shown = max(kept, :until),"
        f" look = max(kept, :until) WHERE id = :id AND {_WAITS}",
        [{"id": id, "due": due, "until": due + OPEN_TTL} for id, due in waits.items()],
    )


def is_due(tx: Transaction, seq: int) -> None:
    """Write that the task of a message waits no longer for its moment."""
    tx.db.execute(
        f"UPDATE tasks SET due = :now WHERE id = (SELECT id FROM messages WHERE seq = :seq) AND {_WAITS}"
        " AND due > :now",
        {"seq": seq, "now": tx.now},
    )

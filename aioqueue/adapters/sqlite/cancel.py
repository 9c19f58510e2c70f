"""Cancel: ends tasks, nodes and whole workflows in one step, with what runs in place of tasks."""

from __future__ import annotations

from collections.abc import Sequence

from aioqueue.adapters.sqlite import flows, messages, records
from aioqueue.adapters.sqlite import lease as leases
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.move import Move
from aioqueue.adapters.sqlite.records import Entry
from aioqueue.advance import cancelled
from aioqueue.codec import decode_messages, encode_messages
from aioqueue.models.state import CancelOutcome, State
from aioqueue.protocols.messages import Cancelled


def cancel(
    tx: Transaction, ids: Sequence[str], ttl: float, *, here: bool = False, waiting: bool = False
) -> list[Cancelled]:
    """Cancel what has not ended, one after the other; records read CANCELLED for *ttl* s.

    here: messages are in this file, and those that wait are withdrawn. waiting: what runs is spared.
    """
    step = _Cancel(tx, ids, ttl, here=here, waiting=waiting)
    answers = [step.cancel(id) for id in ids]
    step.write()
    return answers


class _Cancel:
    """Cancels inside one step."""

    def __init__(self, tx: Transaction, ids: Sequence[str], ttl: float, *, here: bool, waiting: bool) -> None:
        self._tx = tx
        self._here = here
        self._waiting = waiting
        self._ttl = ttl
        self._entries = records.load(tx, ids)
        self._move = Move(tx, self._entries, ttl=ttl)
        self._move.read(ids)

    def cancel(self, id: str) -> Cancelled:
        """Cancel one of them; one that is no record, or shown no more, may be a whole workflow."""
        entry = self._entries.get(id)
        if entry is None or not entry.visible(self._tx.now):
            return self._whole(id)
        if entry.state.final or self._move.bars(entry):
            if self._waiting and not entry.state.final and not self._runs(entry):
                # nothing was written of it yet, and its message is about to go
                self._move.bar(entry)
            moved = () if entry.moved is None else decode_messages(entry.moved)
            return Cancelled(CancelOutcome.ALREADY_DONE, moved)
        if self._waiting and self._runs(entry):
            return Cancelled(CancelOutcome.RUNNING)
        before = len(self._move.messages)
        self._move.cancel(entry, ttl=self._ttl)
        # of a node nothing waits that is inside it; of a group there is what it is the end of
        inside = entry.plan or (None if entry.queue else entry.id.rpartition(".")[0])
        if self._here and inside:
            self._move.bar_some(inside)
        released = tuple(self._move.messages[before:])
        entry.moved = encode_messages(released) if released else None
        return Cancelled(CancelOutcome.CANCELLED, released)

    def write(self) -> None:
        """Write all of it."""
        self._move.write()
        records.save(self._tx, self._move.changed.values())
        if self._here:
            messages.withdraw(self._tx, [id for id, e in self._move.changed.items() if e.state.final])

    def _whole(self, id: str) -> Cancelled:
        opening = flows.whole(self._tx, id)
        if opening is None:
            return Cancelled(CancelOutcome.NOT_FOUND)
        before = len(self._move.messages)
        if self._move.is_cancelled(opening.root) or self._has_ended(opening.result):
            self._move.tell_again(opening.root)
            outcome = CancelOutcome.ALREADY_DONE
        else:
            self._move.call_off(id, cancelled(id, "the workflow"))
            if self._here:
                self._move.bar_some(id)
            outcome = CancelOutcome.CANCELLED
        return Cancelled(outcome, tuple(self._move.messages[before:]))

    def _runs(self, entry: Entry) -> bool:
        """Tell whether a task runs, by a live owner or as a workflow."""
        if entry.state is not State.STARTED:
            return False
        owner = entry.owner
        return entry.plan is not None or (owner is not None and bool(leases.left(self._tx, {owner})))

    def _has_ended(self, result: str) -> bool:
        """Tell whether what a whole comes to has been decided."""
        entry = self._move.entry(result)
        return (
            entry is not None
            and entry.visible(self._tx.now)
            and (entry.state.final or self._move.bars(entry))
        )

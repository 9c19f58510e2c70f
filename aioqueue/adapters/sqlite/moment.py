"""Moment: another one for what waits: the record, and the message."""

from __future__ import annotations

from dataclasses import replace

from aioqueue.adapters.sqlite import flows, keys, messages, records, scopes
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.models.state import RescheduleOutcome, State
from aioqueue.protocols.messages import OPEN_TTL, Message, Rescheduled, When
from aioqueue.protocols.unique import Unique


def reschedule(tx: Transaction, id: str, when: When, *, here: bool) -> Rescheduled:
    """Give a task that waits another moment. here: its message is in this file, and goes with it."""
    entry = records.load(tx, [id]).get(id)
    if entry is None or not entry.visible(tx.now):
        return Rescheduled(RescheduleOutcome.NOT_FOUND)
    bar = scopes.barred(tx, [id]).get(id)
    if entry.state.final or (bar is not None and bar.since(running=entry.running) is not None):
        return Rescheduled(RescheduleOutcome.ALREADY_DONE)
    waits = entry.state in (State.PENDING, State.RETRY) and entry.due is not None
    if not waits or (here and not messages.reschedule(tx, entry.queue, id, entry.attempt, when)):
        return Rescheduled(RescheduleOutcome.NOT_WAITING)
    entry.due = when.due(tx.now)
    entry.shown = entry.kept = max(entry.kept, entry.due + OPEN_TTL)
    records.save(tx, [entry])
    flows.renew(tx, [id], entry.kept)
    return Rescheduled(RescheduleOutcome.RESCHEDULED, entry.queue, entry.attempt)


def collapse(tx: Transaction, id: str, unique: Unique, message: Message) -> None:
    """Let a task that waits for its first start run as *message* says, at its moment."""
    entry = records.load(tx, [id])[id]
    messages.withdraw(tx, [id])
    entry.due, entry.queue = keys.put_off(tx, unique, message.due(tx.now)), message.queue
    entry.shown = entry.kept = max(entry.kept, entry.due + OPEN_TTL)
    records.save(tx, [entry])
    messages.add(tx, [(replace(message, id=id, eta=entry.due, delay=0.0), entry.losses)])

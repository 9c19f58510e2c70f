"""Moment: another one for what waits: the record, and the message."""

from __future__ import annotations

from dataclasses import replace

from aioqueue.adapters.memory.core import MemoryCore
from aioqueue.models.state import RescheduleOutcome, State
from aioqueue.protocols.messages import OPEN_TTL, Message, Rescheduled, When
from aioqueue.protocols.unique import Unique


def waiting(core: MemoryCore, id: str) -> Rescheduled:
    """Tell whether a task waits for a moment, by its record."""
    record = core.records.shown(id)
    if record is None:
        return Rescheduled(RescheduleOutcome.NOT_FOUND)
    if record.state.final:
        return Rescheduled(RescheduleOutcome.ALREADY_DONE)
    if record.state is State.STARTED or record.due is None:
        return Rescheduled(RescheduleOutcome.NOT_WAITING)
    return Rescheduled(RescheduleOutcome.RESCHEDULED, record.queue, record.attempt)


def move_record(core: MemoryCore, id: str, when: When) -> None:
    """Write when a task that waits is due, and keep all that is to be there by then."""
    row = core.records.row(id)
    if row is None:
        return
    due = when.due(core.clock.time())
    row.record = replace(row.record, due=due)
    core.records.write(row, until=max(row.kept, due + OPEN_TTL))
    core.flows.renew(id, due)


def move_message(core: MemoryCore, queue: str, id: str, attempt: int, when: When) -> bool:
    """Give a delayed message another moment; False if there is none."""
    now = core.clock.time()
    for number in (attempt, attempt + 1):
        entry = core.entries.get((id, number, 0))
        if entry is not None and entry.owner is None and entry.due > now:
            line = core.line(queue)
            line.remove({entry.seq})
            entry.due = when.due(now)
            line.push(entry, now)
            core.ring()
            return True
    return False


def collapse(core: MemoryCore, id: str, unique: Unique, message: Message) -> None:
    """Let a task that waits for its first start run as *message* says, at its moment."""
    row = core.records.row(id)
    if row is None:
        return
    core.withdraw([row.record])
    due = core.records.keys.put_off(unique, message.due(core.clock.time()))
    row.record = replace(row.record, queue=message.queue, due=due)
    core.records.write(row, until=max(row.kept, due + OPEN_TTL))
    core.add([replace(message, id=id, eta=due, delay=0.0, unique=None)], losses=row.record.losses)

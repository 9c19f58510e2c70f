"""Log: what the runs of a task have told while they ran: progress, and the values of a stream.

It is kept beside the record and lasts as long. Who reads it gets record, attempts and log as they stood in
one moment, so that each entry is of a run that the record, or what is remembered, tells of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from aioqueue.models.state import State
from aioqueue.protocols.messages import Attempt, Record
from aioqueue.values import lean

LOG_VALUES: Final = 100_000
"""Values that are kept of a task: a run writes no more, and of earlier runs the oldest make room."""

LOG_BYTES: Final = 64 * 1_048_576
"""Bytes of values that are kept of a task, in the same way."""

LOG_PROGRESS: Final = 100
"""Progress that is kept of a task: the last ones."""

LOG_PAGE: Final = 200
"""Entries that are read in one step, at most; fewer where they have more than PAGE_BYTES."""

PAGE_BYTES: Final = 1_048_576


@lean
class Note:
    """What a run adds: a value, or progress. data: encoded by who writes it."""

    value: bool
    data: bytes


@lean
class LogEntry:
    """A note that is kept. number: from 1, growing, with gaps where some were dropped.

    attempt, losses, started: of the run that wrote it, as they stand on record; started in milliseconds.
    at: Unix seconds by the store's clock.
    """

    number: int
    attempt: int
    losses: int
    started: int
    at: float
    value: bool
    data: bytes


class Standing(NamedTuple):
    """What of a record is looked at, to see whether it has changed."""

    state: State
    attempt: int
    losses: int
    started: float | None


def standing(record: Record) -> Standing:
    """Return how a record stands."""
    return Standing(record.state, record.attempt, record.losses, record.started)


@dataclass(frozen=True, slots=True)
class Log:
    """A task in one moment: its record, what ``history`` tells of it, and a page of its log.

    more: there are entries behind this page.
    """

    record: Record
    before: tuple[Attempt, ...] = ()
    entries: tuple[LogEntry, ...] = ()
    more: bool = False

    def tells(self, seen: Standing | None) -> bool:
        """True if there is something for who has seen it as it stood, or who need not wait any more."""
        return bool(self.entries) or self.record.state.final or standing(self.record) != seen


def thousandths(moment: float | None) -> int:
    """Return a moment on record in whole milliseconds, which tell one run from another."""
    return 0 if moment is None else round(moment * 1000)

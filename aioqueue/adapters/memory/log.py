"""Log: what the runs of a task have told, in its row.

Progress stands apart, as only the last of it is kept.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

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
from aioqueue.protocols.messages import Record

_Run = tuple[int, int, int]


@dataclass(slots=True)
class RowLog:
    """All that is kept. number: of the last entry. run: whose. written: its notes. size: bytes of values."""

    values: deque[LogEntry] = field(default_factory=deque[LogEntry])
    progress: deque[LogEntry] = field(default_factory=lambda: deque[LogEntry](maxlen=LOG_PROGRESS))
    number: int = 0
    run: _Run = (0, 0, 0)
    written: int = 0
    size: int = 0

    def add(self, record: Record, notes: Sequence[Note], *, first: int, now: float) -> None:
        """Add what the run on record has told; *first* of its notes were told before."""
        run = (record.attempt, record.losses, thousandths(record.started))
        if run != self.run:
            self.run, self.written = run, 0
        for note in notes[max(0, self.written - first) :]:
            self.number += 1
            entry = LogEntry(self.number, *run, at=now, value=note.value, data=note.data)
            (self.values if note.value else self.progress).append(entry)
            self.size += len(note.data) if note.value else 0
        self.written = max(self.written, first + len(notes))
        self._make_room()

    def _make_room(self) -> None:
        while len(self.values) > LOG_VALUES or self.size > LOG_BYTES:
            oldest = self.values[0]
            if (oldest.attempt, oldest.losses, oldest.started) == self.run:
                return
            self.size -= len(self.values.popleft().data)

    def page(self, after: int) -> tuple[tuple[LogEntry, ...], bool]:
        """Return entries behind a number, and whether there are more."""
        found: list[LogEntry] = []
        size = 0
        left = heapq.merge(_behind(self.values, after), _behind(self.progress, after), key=_number)
        for entry in left:
            found.append(entry)
            size += len(entry.data)
            if len(found) == LOG_PAGE or size >= PAGE_BYTES:
                break
        return tuple(found), next(left, None) is not None


def _number(entry: LogEntry) -> int:
    return entry.number


def _behind(entries: deque[LogEntry], after: int) -> Sequence[LogEntry]:
    """Return the first page of *entries* behind a number, from the end where that is nearer."""
    low, high = 0, len(entries)
    while low < high:
        middle = (low + high) // 2
        if entries[middle].number <= after:
            low = middle + 1
        else:
            high = middle
    return list(islice(entries, low, low + LOG_PAGE + 1))

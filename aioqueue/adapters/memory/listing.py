"""Listing: pages of what is in a queue and of the dead letters, and how some of it is dropped."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from itertools import chain

from aioqueue.adapters.memory.core import Entry, MemoryCore
from aioqueue.cursor import cursor, numbers_of
from aioqueue.models.stats import LetterPage, QueueEntry, QueuePage, Where

Key = tuple[float, int]
"""Where an entry stands: a priority, turned round, or a moment; then its number."""


def inspect(
    core: MemoryCore, queue: str, where: Where, *, after: str | None, limit: int, bodies: bool
) -> QueuePage:
    """Return a page of a queue. It looks at all that is there, as this store keeps heaps."""
    past = numbers_of(after, 2)
    keyed = list(_keyed(core, queue, where))
    left = keyed if past is None else [(key, entry) for key, entry in keyed if key > tuple(past)]
    found = heapq.nsmallest(limit, left, key=lambda pair: pair[0])
    entries = tuple(_shown(entry, where, cursor(*key), bodies=bodies) for key, entry in found)
    return QueuePage(entries=entries, next=entries[-1].place if len(left) > len(found) > 0 else None)


def remove(core: MemoryCore, entries: Sequence[QueueEntry]) -> int:
    """Forget those that still wait."""
    gone = 0
    for each in entries:
        entry = core.entries.get((each.id, each.attempt, each.hop))
        if entry is not None and entry.owner is None:
            del core.entries[entry.key]
            core.limiters.gone(entry.key)
            core.line(entry.message.queue).remove({entry.seq})
            gone += 1
    return gone


def letters(core: MemoryCore, *, queue: str | None, after: str | None, limit: int) -> LetterPage:
    """Return a page of the dead letters."""
    past = numbers_of(after, 1)
    left = [
        letter
        for letter in reversed(core.dead)
        if queue in (None, letter.queue) and (past is None or int(letter.key) < past[0])
    ]
    found = tuple(left[:limit])
    return LetterPage(letters=found, next=found[-1].key if len(left) > len(found) > 0 else None)


def discard(core: MemoryCore, keys: Sequence[str]) -> int:
    """Drop dead letters."""
    gone = [letter for letter in core.dead if letter.key in set(keys)]
    for letter in gone:
        core.dead.remove(letter)
        core.line(letter.queue).dead -= 1
    return len(gone)


def _keyed(core: MemoryCore, queue: str, where: Where) -> Iterable[tuple[Key, Entry]]:
    line = core.line(queue)
    line.promote(core.clock.time())
    match where:
        case Where.PENDING:
            for seq, entry in chain(*line.ready, *line.suspects):
                yield (-entry.message.priority, seq), entry
        case Where.DELAYED:
            for due, seq, entry in line.delayed:
                yield (due, seq), entry
        case Where.RUNNING:
            for entry in chain(*(held.values() for held in core.held.values())):
                if entry.message.queue == queue:
                    yield (0, entry.seq), entry


def _shown(entry: Entry, where: Where, place: str, *, bodies: bool) -> QueueEntry:
    message = entry.message
    return QueueEntry(
        id=message.id,
        name=message.name,
        queue=message.queue,
        place=place,
        attempt=message.attempt,
        hop=message.hop,
        priority=message.priority,
        losses=entry.losses,
        tracked=message.tracked,
        sent=message.sent or None,
        due=entry.due if where is Where.DELAYED else None,
        holder=entry.owner,
        body=message.body if bodies else None,
    )

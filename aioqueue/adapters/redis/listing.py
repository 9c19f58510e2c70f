"""Listing: pages of what is in a queue and of the dead letters, and how some of it is dropped.

A page costs what it holds: scripts begin where the one before ended, and read no further.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from aioqueue.adapters.redis.core import Access
from aioqueue.adapters.redis.rows import moment
from aioqueue.cursor import no_cursor
from aioqueue.models.stats import DeadLetter, LetterPage, QueueEntry, QueuePage, Where

_STEP: Final = 200
_READY: Final = re.compile(r"\w+/\d+-\d+/.+", re.DOTALL)
_DELAYED: Final = re.compile(r"\d+ .+", re.DOTALL)
_LETTER: Final = re.compile(r"\d+-\d+")


async def inspect(
    access: Access, queue: str, where: Where, *, after: str | None, limit: int, bodies: bool
) -> QueuePage:
    """Return a page of a queue; in steps, so that a large one keeps the server from nobody."""
    place = _DELAYED if where is Where.DELAYED else _READY
    if after is not None and not place.fullmatch(after):
        raise no_cursor(after)
    entries: list[QueueEntry] = []
    while len(entries) < limit:
        count = min(_STEP, limit - len(entries))
        rows = await access.script("inspect", queue, where.value, after or "", count, int(bodies))
        entries += [_entry(row, queue, bodies=bodies) for row in rows]
        if len(rows) < count:
            return QueuePage(entries=tuple(entries))
        after = entries[-1].place
    return QueuePage(entries=tuple(entries), next=after)


def _entry(row: Sequence[bytes], queue: str, *, bodies: bool) -> QueueEntry:
    place, id, name, meta, body, due, holder = row
    attempt, hop, priority, tracked, losses, _, _, sent = meta.split()
    return QueueEntry(
        id=_text(id),
        name=_text(name),
        queue=queue,
        place=_text(place),
        attempt=int(attempt),
        hop=int(hop),
        priority=int(priority),
        losses=int(losses),
        tracked=tracked == b"1",
        sent=float(sent) or None,
        due=moment(due) if due else None,
        # what a blocking read has brought is about to be its consumer's
        holder=_text(holder).removesuffix(".wait") or None,
        body=body if bodies else None,
    )


async def remove(access: Access, entries: Sequence[QueueEntry]) -> int:
    """Forget those that still wait."""
    gone = 0
    for first in range(0, len(entries), _STEP):
        places = [text for entry in entries[first : first + _STEP] for text in (entry.queue, entry.place)]
        gone += await access.script("remove", *places)
    return gone


async def letters(access: Access, *, queue: str | None, after: str | None, limit: int) -> LetterPage:
    """Return a page of the dead letters."""
    if after is not None and not _LETTER.fullmatch(after):
        raise no_cursor(after)
    if limit <= 0:
        return LetterPage()
    found, following = await access.script("letters", queue or "", after or "", min(limit, _STEP))
    return LetterPage(
        letters=tuple(_letter(entry, values) for entry, values in found),
        next=following.decode() or None,
    )


def _letter(entry: bytes, values: Sequence[bytes]) -> DeadLetter:
    fields: dict[bytes, Any] = dict(zip(values[::2], values[1::2], strict=True))
    return DeadLetter(
        id=_text(fields[b"i"]),
        name=_text(fields[b"n"]),
        queue=_text(fields[b"q"]),
        reason=_text(fields[b"r"]),
        body=fields[b"b"],
        attempt=int(fields[b"a"]),
        at=moment(entry.partition(b"-")[0]),
        priority=int(fields.get(b"p", 0)),
        key=entry.decode(),
    )


async def discard(access: Access, keys: Sequence[str]) -> int:
    """Drop dead letters."""
    gone = 0
    known = [key for key in keys if _LETTER.fullmatch(key)]
    for first in range(0, len(known), _STEP):
        gone += await access.script("discard", *known[first : first + _STEP])
    return gone


def _text(data: bytes) -> str:
    return data.decode(errors="replace")

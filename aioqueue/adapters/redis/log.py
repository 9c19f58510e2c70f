"""Log: what the runs of a task have told, written and read.

Subscribe, then read, then wait. A look every second is the truth behind it: nobody says that a task starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from aioqueue.adapters.redis import rows
from aioqueue.adapters.redis.core import Access
from aioqueue.adapters.redis.link import Value
from aioqueue.errors import UnavailableError
from aioqueue.protocols.log import (
    LOG_BYTES,
    LOG_PAGE,
    LOG_PROGRESS,
    LOG_VALUES,
    PAGE_BYTES,
    Log,
    LogEntry,
    Note,
    Standing,
)

_LOOK: Final = 1.0
_AGAIN: Final = 0.5
_PATIENCE: Final = 10.0
_MOST: Final = f"{LOG_VALUES} {LOG_BYTES} {LOG_PROGRESS}"


async def note(
    access: Access, id: str, notes: Sequence[Note], *, first: int, attempt: int, owner: str
) -> bool:
    """Add what *owner*'s attempt tells; False if it is not its to say."""
    args: list[Value] = [id, attempt, owner, first, _MOST]
    for each in notes:
        args += (int(each.value), each.data)
    taken: int = await access.script("note", *args)
    return taken == 1


async def told(access: Access, id: str, after: int, seen: Standing | None, timeout: float) -> Log | None:
    """Return what there is behind *after*, once there is anything, or as it stands after *timeout* s.

    Raises UnavailableError when the server has been away for 10 s.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout
    answered = loop.time()
    with access.session.followers.woken(id) as event:
        while True:
            event.clear()
            try:
                log = await _look(access, id, after)
            except UnavailableError:
                # one that was closed is not asked again
                _ = access.session
                if loop.time() - answered >= _PATIENCE:
                    raise
                await asyncio.sleep(_AGAIN)
                continue
            answered = loop.time()
            if log is None or log.tells(seen) or answered >= until:
                return log
            await _woken(event, min(_LOOK, until - answered))


async def _woken(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


async def _look(access: Access, id: str, after: int) -> Log | None:
    found: list[Any] = await access.script("log", id, after, LOG_PAGE, PAGE_BYTES)
    record = rows.found(id, found[0]) if found else None
    if record is None:
        return None
    if isinstance(record, Exception):
        raise record
    _, before, entries, more = found
    return Log(record, tuple(map(rows.attempt, before)), tuple(map(_entry, entries)), more == 1)


def _entry(row: Sequence[bytes]) -> LogEntry:
    name, head, data = row
    attempt, losses, started, at, *_ = head.split()
    return LogEntry(
        number=int(name[1:]),
        attempt=int(attempt),
        losses=int(losses),
        started=int(started),
        at=rows.moment(at),
        value=name[:1] == b"v",
        data=data,
    )

"""Answers: whether what was cancelled while it ran could be interrupted, as its worker says.

They pass through the shared map, and lapse: nothing depends on one.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aioqueue.errors import UnavailableError
from aioqueue.protocols.store import Store

_log = logging.getLogger("aioqueue.worker")

PATIENCE: Final = 0.2
"""Seconds that whoever cancels waits for an answer."""

_LOOK: Final = 0.02
_TTL: Final = 10.0
_WORDS: Final = {True: b"1", False: b"0"}


async def leave(store: Store | None, id: str, *, interrupted: bool) -> None:
    """Say what has come of the interruption of a run; where there is no map, or it is away, nobody hears."""
    if store is None:
        return
    try:
        await store.put(_key(id), _WORDS[interrupted], ttl=_TTL)
    except UnavailableError as exc:
        _log.debug("nobody hears that %s was cancelled here: %s", id, exc)


async def answer(store: Store | None, id: str) -> bool | None:
    """Return what its worker says, as soon as it does; None where it has not in time."""
    until = asyncio.get_running_loop().time() + PATIENCE
    while store is not None and asyncio.get_running_loop().time() < until:
        try:
            said = await store.get(_key(id))
        except UnavailableError:
            return None
        if said is not None:
            return said == _WORDS[True]
        await asyncio.sleep(_LOOK)
    return None


def _key(id: str) -> str:
    return f"interrupted:{id}"

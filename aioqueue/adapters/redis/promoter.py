"""Promoter: makes delayed messages ready when they are due, though every reader is blocked or busy."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from redis.exceptions import RedisError

from aioqueue.adapters.redis.core import Access
from aioqueue.adapters.redis.rows import moment
from aioqueue.clock import SystemClock
from aioqueue.errors import UnavailableError

_log = logging.getLogger("aioqueue.redis")

_LOOK: Final = 5.0
_LEAST: Final = 0.001
_CLOCK: Final = SystemClock()


class Promoter:
    """Sleeps until the next message of *queues* is due; an earlier one wakes it.

    resumed: called when a queue is resumed, or may have been.
    """

    def __init__(self, access: Access, queues: Sequence[str], resumed: Callable[[], None]) -> None:
        self._access = access
        self._queues = queues
        self._resumed = resumed
        self._earlier = asyncio.Event()

    async def run(self) -> None:
        """Promote until cancelled, which may be at any time: a script is whole or not at all."""
        listener, prefix = self._access.session.listener, self._access.core.options.prefix
        channels = [f"{prefix}due:{queue}" for queue in self._queues]
        for channel in channels:
            listener.subscribe(channel, self._told)
        try:
            while True:
                self._earlier.clear()
                pause = await self._promote()
                await _CLOCK.wait(self._earlier, until=_CLOCK.time() + pause)
        finally:
            for channel in channels:
                listener.unsubscribe(channel, self._told)

    def _told(self, said: bytes | None) -> None:
        if said is None or said:
            self._earlier.set()
        if not said:
            self._resumed()

    async def _promote(self) -> float:
        """Make ready what is due; return the seconds until the next one is."""
        try:
            now, due = await self._access.script("promote", *self._queues)
        except (UnavailableError, RedisError) as exc:
            _log.debug("delayed tasks cannot be looked at, trying again: %s", exc)
            return _LOOK
        return min(_LOOK, max(_LEAST, moment(due) - moment(now))) if due else _LOOK

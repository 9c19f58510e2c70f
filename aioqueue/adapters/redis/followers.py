"""Followers: who in this process follows the log of which task; they are woken, and look for themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from aioqueue.adapters.redis.listener import Listener

_LINGER: Final = 1.0


@dataclass(slots=True)
class _Followed:
    """A task that is followed by some, each of whom is woken by an event."""

    events: set[asyncio.Event] = field(default_factory=set[asyncio.Event])

    def told(self, said: bytes | None) -> None:
        """Wake all, who look for themselves."""
        for event in self.events:
            event.set()


class Followers:
    """All who follow a task, of one session. prefix: of the namespace."""

    def __init__(self, listener: Listener, prefix: str) -> None:
        self._listener = listener
        self._prefix = prefix
        self._followed: dict[str, _Followed] = {}

    @contextmanager
    def woken(self, id: str) -> Generator[asyncio.Event]:
        """Give an event that is set when a run of the task has told something, and when it has ended."""
        followed = self._followed.get(id)
        if followed is None:
            followed = self._followed[id] = _Followed()
            for channel in self._channels(id):
                self._listener.subscribe(channel, followed.told)
        event = asyncio.Event()
        followed.events.add(event)
        try:
            yield event
        finally:
            followed.events.discard(event)
            if not followed.events:
                # the same one often asks again in a moment
                asyncio.get_running_loop().call_later(_LINGER, self._leave, id)

    def close(self) -> None:
        """Wake all, to meet that the adapter is closed."""
        for followed in self._followed.values():
            followed.told(None)

    def _leave(self, id: str) -> None:
        followed = self._followed.get(id)
        if followed is not None and not followed.events:
            del self._followed[id]
            for channel in self._channels(id):
                self._listener.unsubscribe(channel, followed.told)

    def _channels(self, id: str) -> tuple[str, str]:
        return f"{self._prefix}log:{id}", f"{self._prefix}done:{id}"

"""Backoff: pauses between tries at a store that is away: growing, jittered, capped."""

from __future__ import annotations

import asyncio
from random import uniform
from typing import Final

_FIRST: Final = 0.05
_CAP: Final = 5.0


class Backoff:
    """Decorrelated jitter: each pause is drawn from the first up to three times the last."""

    def __init__(self) -> None:
        self._last = 0.0

    def reset(self) -> None:
        """Begin anew, after a success."""
        self._last = 0.0

    def pause(self) -> float:
        """Return the seconds to wait before the next try."""
        self._last = min(_CAP, uniform(_FIRST, max(_FIRST, self._last * 3)))
        return self._last

    async def wait(self, stop: asyncio.Event) -> None:
        """Wait the next pause, or until *stop*."""
        try:
            async with asyncio.timeout(self.pause()):
                await stop.wait()
        except TimeoutError:
            return

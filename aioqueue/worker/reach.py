"""Reach: what a run can do while it runs, by ``current()`` and as a stream; from any of its threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aioqueue.events import encode_progress
from aioqueue.worker.notes import Notes
from aioqueue.worker.run import Run


class Reach:
    """The reach of one run. loop: the one it runs beside. notes: makes its notes, once it tells anything."""

    __slots__ = ("_loop", "_make", "_run")

    def __init__(self, run: Run, loop: asyncio.AbstractEventLoop, make: Callable[[Run], Notes]) -> None:
        self._run = run
        self._loop = loop
        self._make = make

    def extend(self, seconds: float) -> None:
        """Move the deadline."""
        self._on_loop(self._run.extend, seconds)

    def progress(self, done: float | None, total: float | None, message: str | None) -> None:
        """Tell how far it is; without a record nobody could read of it."""
        if self._run.delivery.message.tracked:
            self._on_loop(self._progress, encode_progress(done, total, message))

    async def value(self, value: object, dump: Callable[[object], Any]) -> None:
        """Tell what it has yielded, as *dump* makes it; waits where the store is slower."""
        if self._run.delivery.message.tracked:
            await self._notes().value(value, dump)

    def _progress(self, data: bytes) -> None:
        if not self._run.closed:
            self._notes().progress(data)

    def _notes(self) -> Notes:
        if self._run.notes is None:
            self._run.notes = self._make(self._run)
        return self._run.notes

    def _on_loop(self, function: Callable[..., None], *args: Any) -> None:
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            function(*args)
        else:
            self._loop.call_soon_threadsafe(function, *args)

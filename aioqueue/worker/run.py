"""Run: one attempt in the making, and how it is interrupted.

After an interruption a normal return still commits, unless the lease was lost or the task was
cancelled; anything else is read in the light of the reason. The cancel is repeated, as one that falls
into a library's await can be swallowed on Python 3.11. What ignores it for long is abandoned: its end is
decided without it, and it is cancelled on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from aioqueue.protocols.messages import Delivery
from aioqueue.worker.notes import Notes

_REPEATS: Final = (1.0, 5.0)


class Reason(Enum):
    """Why a run is interrupted; a later reason replaces an earlier, weaker one."""

    STOP = 1
    TIMEOUT = 2
    CANCELLED = 3
    LOST = 4


class Run:
    """A delivery that is being executed. losses: workers that died holding it.

    notes: what it tells while it runs, if anything. extended: seconds that its deadline was moved by.
    interruptible: whether a cancel reaches the user's code; None before that has begun. once: it has begun,
    and is never to run again.
    """

    __slots__ = (
        "_overrun",
        "_repeat",
        "_task",
        "_timer",
        "_watched",
        "abandoned",
        "closed",
        "delivery",
        "extended",
        "interruptible",
        "losses",
        "notes",
        "once",
        "reason",
        "started",
    )

    def __init__(self, delivery: Delivery, losses: int) -> None:
        self.delivery: Delivery = delivery
        self.losses: int = losses
        self.reason: Reason | None = None
        self.notes: Notes | None = None
        self.closed: bool = False
        self.abandoned: bool = False
        self.once: bool = False
        self.extended: float = 0.0
        self.interruptible: bool | None = None
        self._overrun: tuple[float, Callable[[], None]] | None = None
        self.started: float = 0.0
        self._watched = False
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._repeat: asyncio.TimerHandle | None = None

    def attach(self, task: asyncio.Task[Any] | None) -> None:
        """Name the asyncio task that the user's code runs in, at its first step.

        Raises CancelledError where it was interrupted before: a task that is cancelled before its first step
        would never enter its coroutine.
        """
        self._task = task
        if self.reason is not None:
            raise asyncio.CancelledError

    def runs_in(self, task: asyncio.Task[Any]) -> bool:
        """Return whether that is the asyncio task that the user's code runs in."""
        return self._task is task

    def watch(self) -> bool:
        """Tell whether somebody is to watch it for a cancel from now on: it has a record, and nobody does."""
        first = not (self._watched or self.closed) and self.delivery.message.tracked
        self._watched = True
        return first

    def limit(self, seconds: float | None, loop: asyncio.AbstractEventLoop) -> None:
        """Interrupt the run after *seconds*."""
        if seconds is not None:
            self._timer = loop.call_later(seconds, self.interrupt, Reason.TIMEOUT)

    def extend(self, seconds: float) -> None:
        """Interrupt the run so much later, if it is not too late."""
        if self._timer is not None and self.reason is None and not self.closed:
            self._timer.cancel()
            self.extended += seconds
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._timer.when() + seconds, self.interrupt, Reason.TIMEOUT)

    def when_ignored(self, grace: float, overrun: Callable[[], None]) -> None:
        """Call *overrun* where a timeout or a cancel is ignored for *grace* s."""
        self._overrun = (grace, overrun)

    def unlimit(self) -> None:
        """Say that no time is too long any more: the user's code has ended."""
        if self._timer is not None:
            self._timer.cancel()

    def interrupt(self, reason: Reason) -> None:
        """Cancel the user's code, again and again until it has ended."""
        if self.closed:
            return
        if self.reason is None or reason.value > self.reason.value:
            self.reason = reason
        if self._repeat is None:
            self._cancel(0)
        if self._overrun is not None and self.reason in (Reason.TIMEOUT, Reason.CANCELLED):
            (grace, overrun), self._overrun = self._overrun, None
            asyncio.get_running_loop().call_later(grace, overrun)

    def abandon(self) -> None:
        """Say that its end is decided though the user's code goes on, which is cancelled until it ends."""
        self.closed = self.abandoned = True

    def close(self) -> None:
        """Say that the user's code has ended, and let go of it: rings wait for the garbage collector."""
        self.closed = True
        for handle in (self._timer, self._repeat):
            if handle is not None:
                handle.cancel()
        self._task = self._timer = self._repeat = self._overrun = None

    def _cancel(self, times: int) -> None:
        if self._task is None or self._task.done() or (self.closed and not self.abandoned):
            return
        self._task.cancel()
        pause = _REPEATS[min(times, len(_REPEATS) - 1)]
        self._repeat = self._task.get_loop().call_later(pause, self._cancel, times + 1)

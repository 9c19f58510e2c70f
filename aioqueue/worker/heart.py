"""Heart: a thread that keeps the leases and watches the event loop.

It beats whatever the loop does, so that a blocked loop costs no redelivery; it tells who blocks
it and at which line; and it stops beating for a loop that has not turned for *stall* seconds.
"""

from __future__ import annotations

import asyncio
import linecache
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Final

from aioqueue.errors import UnavailableError
from aioqueue.logs import Attempt
from aioqueue.protocols.lease import Lease

_log = logging.getLogger("aioqueue.worker")

_JITTER: Final = 0.5
"""Seconds by which a waking thread may be late without its process having been stopped."""


class Heart:
    """Beats for one consumer. Started and stopped on the loop it watches.

    lease, beat, warn, stall: seconds. lapsed: called on the loop when a lease is lost. stalled:
    called in the thread when the loop has stood still for *stall*. attempt: says, in the thread, whose code
    an asyncio task runs.
    """

    def __init__(
        self,
        leases: Sequence[Lease],
        *,
        lease: float,
        beat: float,
        warn: float,
        stall: float,
        lapsed: Callable[[], None],
        stalled: Callable[[], None],
        attempt: Callable[[asyncio.Task[Any]], Attempt | None] = lambda _: None,
    ) -> None:
        self._leases = leases
        self._lease = lease
        self._beat = beat
        self._warn = warn
        self._stall = stall
        self._lapsed = lapsed
        self._stalled = stalled
        self._attempt = attempt
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self._turned = time.monotonic()
        self._told = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="aioqueue-heart", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    async def stop(self) -> None:
        """End the thread and wait for it."""
        self._end.set()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        step = min(self._beat, self._warn / 2)
        due = kept = slept = time.monotonic()
        while not self._end.wait(step):
            now = time.monotonic()
            # a process that was stopped did not turn its loop, and cannot be blamed for it
            late = now - slept - step
            self._turned += late if late > _JITTER else 0.0
            slept = now
            if not self._watch(now):
                return
            if now < due:
                continue
            answer = self._beaten()
            if answer is None and now - kept < self._lease:
                # sooner than a whole beat: the lease runs on meanwhile
                due = now + min(1.0, self._beat)
            elif not answer:
                self._call(self._lapsed)
                return
            else:
                due, kept = now + self._beat, now

    def _beaten(self) -> bool | None:
        """Beat every lease; False if one has lapsed, None if a store does not answer."""
        try:
            # every one is beaten, also when the first has lapsed
            beats = [lease.beat() for lease in self._leases]
        except UnavailableError as exc:
            _log.warning("cannot extend the lease, trying again: %s", exc)
            return None
        except Exception:  # noqa: BLE001 - a heart that ends in silence would leave its worker without a lease
            _log.exception("cannot extend the lease, trying again")
            return None
        return all(beats)

    def _watch(self, now: float) -> bool:
        """Look whether the loop turns; False once it is given up."""
        stood = now - self._turned
        self._call(self._tick)
        if stood < self._warn:
            self._told = False
            return True
        if not self._told:
            self._told = True
            who, where = self._culprit(), self._place()
            _log.warning("the event loop has been blocked for %.1f s by %s at %s", stood, who, where)
        if stood < self._stall:
            return True
        _log.critical(
            "the event loop stands still for %.0f s, blocked by %s; the lease is given up\n%s",
            stood,
            self._culprit(),
            self._stack(),
        )
        for lease in self._leases:
            self._drop(lease)
        self._call(self._lapsed)
        self._stalled()
        return False

    def _drop(self, lease: Lease) -> None:
        try:
            lease.drop()
        except Exception:  # noqa: BLE001 - what follows must not depend on a store
            _log.exception("cannot drop the lease; it lapses by itself")

    def _tick(self) -> None:
        self._turned = time.monotonic()

    def _call(self, function: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)

    def _culprit(self) -> Attempt | str:
        task = asyncio.current_task(self._loop)
        if task is None:
            return "a callback"
        return self._attempt(task) or task.get_name()

    def _place(self) -> str:
        frame = self._frame()
        if frame is None:
            return "an unknown frame"
        # a frame on its way from line to line is at none
        path, line = frame.f_code.co_filename, frame.f_lineno or 0
        code = linecache.getline(path, line).strip()
        return f"{path}:{line} in {frame.f_code.co_name}: {code}"

    def _stack(self) -> str:
        frame = self._frame()
        return "".join(traceback.format_stack(frame)) if frame is not None else ""

    def _frame(self) -> FrameType | None:
        # the documented way to another thread's stack
        frames = sys._current_frames()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - see above
        return frames.get(self._watched)

"""Supervisor: several worker processes of one kind; one that dies is started again.

It runs no task. To a store it speaks through *buried* only, which is told of each child that ended
otherwise than well, beside the pause before the next one: what the child held then runs elsewhere at
once. Its children are commands in sessions of their own, so that a Ctrl-C at the terminal reaches them
once, through here.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, Protocol

from aioqueue.clock import Clock, SystemClock
from aioqueue.errors import AioqueueError
from aioqueue.ids import new_id

_log = logging.getLogger("aioqueue.worker")

MISUSED: Final = 2
"""Exit code of a command that cannot run as it is written."""

PATIENCE: Final = 2.0
"""Seconds past the grace after which a child that was told to stop is killed."""

BURIAL: Final = 5.0
"""Seconds *buried* gets for one child."""

LAST_BURIALS: Final = 1.0
"""Seconds it still gets when all children have ended."""

_FIRST: Final = 1.0
_CAP: Final = 30.0
_LONG_LIFE: Final = 60.0
_LOOK: Final = 1.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_STOPPED: Final = frozenset({0, *(-number for number in _SIGNALS)})


class Child(Protocol):
    """A process that was started; ``asyncio.subprocess.Process`` is one."""

    @property
    def pid(self) -> int: ...

    async def wait(self) -> int:
        """Return its exit code, negative where a signal ended it."""
        ...

    def send_signal(self, signal: int, /) -> None: ...


class Restarts:
    """The pauses before one child is started again: 1 s, doubled up to 30 s, 1 s after a minute's life."""

    def __init__(self) -> None:
        self._last = 0.0

    def pause(self, lived: float) -> float:
        """Return the seconds to wait after a life of *lived* seconds."""
        doubled = 0.0 if lived >= _LONG_LIFE else self._last * 2
        self._last = min(_CAP, max(_FIRST, doubled))
        return self._last


class Supervisor:
    """Keeps *processes* children alive. command: the argv of the child of a number, from 1, and a birth.

    birth: an id that each process started has for itself. grace: seconds children get to stop. burst:
    none is started again, and all is over when they are. patient: a child that cannot run as it is written
    ends nothing, and is started again by ``restart``. buried: called with the birth of a child that
    ended with another code than 0, tells whether it had begun to take tasks; it gets 5 s, and what it raises
    is logged.
    """

    def __init__(
        self,
        command: Callable[[int, str], Sequence[str]],
        *,
        processes: int,
        grace: float,
        burst: bool = False,
        patient: bool = False,
        buried: Callable[[str], Awaitable[bool]] | None = None,
        clock: Clock | None = None,
        spawn: Callable[[Sequence[str]], Awaitable[Child]] | None = None,
    ) -> None:
        self._command = command
        self._numbers = range(1, processes + 1)
        self._grace = grace
        self._burst = burst
        self._patient = patient
        self._leaving: set[int] = set()
        self._changed = {number: asyncio.Event() for number in self._numbers}
        self._late: set[asyncio.Task[None]] = set()
        self._buried = buried
        self._burials: set[asyncio.Task[bool]] = set()
        self._clock = clock or SystemClock()
        self._spawn = spawn or _spawn
        self._children: dict[int, Child] = {}
        self._signal = signal.SIGTERM
        self._stop = asyncio.Event()
        self._over = asyncio.Event()
        self._code = 0

    async def run(self) -> int:
        """Return the exit code once all children have ended: 0 if they ended well.

        A SIGINT or SIGTERM is handed on to them; the third one kills them.
        """
        with _signals(self._signalled):
            async with asyncio.TaskGroup() as duties:
                duties.create_task(self._kill_late(), name="kill-late")
                keepers = [
                    duties.create_task(self._keep(number), name=f"keep-{number}") for number in self._numbers
                ]
                await asyncio.wait(keepers)
                self._over.set()
                self._stop.set()
                await self._end_burials()
                for late in self._late:
                    late.cancel()
        return self._code

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Hand a signal on to all children; none is started any more."""
        # one that is leaving has had its first signal, and a second would hurry it
        spared = set[int]() if self._stop.is_set() else self._leaving
        self._signal = number
        self._stop.set()
        for changed in self._changed.values():
            changed.set()
        for child in [child for which, child in self._children.items() if which not in spared]:
            _send(child, number)

    def restart(self) -> None:
        """Let each child end as by a stop, and start another in its place."""
        for changed in self._changed.values():
            changed.set()
        for number, child in self._children.items():
            # one that is leaving already is not to be hurried by a second signal
            if number not in self._leaving and not self._stop.is_set():
                self._leaving.add(number)
                _send(child, signal.SIGTERM)
                late = asyncio.create_task(self._kill_leaving(number, child), name=f"leaving-{number}")
                self._late.add(late)
                late.add_done_callback(self._late.discard)

    async def _keep(self, number: int) -> None:
        restarts = Restarts()
        first = True
        while not self._stop.is_set():
            born = self._clock.time()
            birth = new_id()
            self._changed[number].clear()
            code = await self._live(number, birth)
            lived = self._clock.time() - born
            if code == MISUSED and first and not self._patient:
                # a task may end its process with that code too, and stops nobody
                if self._buried is None or not await self._burial(number, self._buried(birth)):
                    self._code = MISUSED
                    self.stop()
                    return
            elif code not in {0, None}:
                self._bury(number, birth)
            if self._burst or self._stop.is_set():
                self._code = self._code or (0 if code in _STOPPED else 1)
                return
            first = False
            if number in self._leaving:
                self._leaving.discard(number)
            elif code == MISUSED and self._patient:
                _log.warning("worker process %d cannot run as it is; started again after a change", number)
                await self._changed[number].wait()
            else:
                await self._rest(number, code, lived, restarts)

    async def _live(self, number: int, birth: str) -> int | None:
        """Start a child and return its exit code; None if it cannot be started."""
        try:
            child = await self._spawn(self._command(number, birth))
        except OSError as exc:
            _log.error("cannot start worker process %d: %s", number, exc)
            return None
        _log.info("worker process %d started, pid %d", number, child.pid)
        self._children[number] = child
        if self._stop.is_set():
            _send(child, self._signal)
        try:
            return await child.wait()
        finally:
            del self._children[number]

    def _bury(self, number: int, birth: str) -> None:
        if self._buried is not None:
            burial = asyncio.create_task(self._burial(number, self._buried(birth)), name=f"bury-{number}")
            self._burials.add(burial)
            burial.add_done_callback(self._burials.discard)

    async def _burial(self, number: int, burying: Awaitable[bool]) -> bool:
        """Return whether the child had begun to take tasks; it may have, where that cannot be known."""
        done = asyncio.Event()
        work = asyncio.ensure_future(burying)
        work.add_done_callback(lambda _: done.set())
        try:
            in_time = await self._clock.wait(done, until=self._clock.time() + BURIAL)
        finally:
            work.cancel()
        error = work.exception() if in_time and not work.cancelled() else None
        if error is not None or not in_time:
            _log.error(
                "what worker process %d held runs elsewhere only when its lease has lapsed: %s",
                number,
                str(error) or repr(error) if error is not None else "the store does not answer",
                exc_info=None if error is None or isinstance(error, AioqueueError) else error,
            )
            return True
        return not work.cancelled() and work.result()

    async def _end_burials(self) -> None:
        """Let burials end that are under way, for a moment; a stop does not wait for a store that is away."""
        if self._burials:
            await asyncio.wait(self._burials, timeout=LAST_BURIALS)
        for burial in self._burials:
            burial.cancel()

    async def _rest(self, number: int, code: int | None, lived: float, restarts: Restarts) -> None:
        if code == 0:
            # it has done what --max-tasks gave it
            _log.info("worker process %d ended after %.0f s; another takes its place", number, lived)
            return
        pause = restarts.pause(lived)
        _log.warning(
            "worker process %d %s after %.0f s; started again in %g s",
            number,
            _said(code),
            lived,
            pause,
        )
        # set by a stop, and by a restart
        await self._clock.wait(self._changed[number], until=self._clock.time() + pause)

    async def _kill_leaving(self, number: int, child: Child) -> None:
        """Kill a child that does not make room for another in time."""
        await self._clock.wait(self._over, until=self._clock.time() + self._grace + PATIENCE)
        if self._children.get(number) is child and number in self._leaving:
            _log.error("worker process %d does not stop; killing pid %d", number, child.pid)
            _send(child, signal.SIGKILL)

    async def _kill_late(self) -> None:
        await self._stop.wait()
        if not await self._clock.wait(self._over, until=self._clock.time() + self._grace + PATIENCE):
            self._kill()

    def _kill(self) -> None:
        for number, child in self._children.items():
            _log.error("worker process %d does not stop; killing pid %d", number, child.pid)
            _send(child, signal.SIGKILL)

    def _signalled(self, number: signal.Signals, times: int) -> None:
        if times > 2:
            self._kill()
            return
        _log.warning("%s: the worker processes stop%s", number.name, " at once" if times > 1 else "")
        self.stop(number)


async def orphaned(supervisor: int, over: asyncio.Event) -> bool:
    """Return True as soon as this process's parent is no longer *supervisor*; False once *over*."""
    while os.getppid() == supervisor:
        # nothing tells a process that its parent has died, on every system; so it looks
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK):
                await over.wait()
                return False
    return True


async def _spawn(argv: Sequence[str]) -> Child:
    return await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, start_new_session=True
    )


def _send(child: Child, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        child.send_signal(number)


def _said(code: int | None) -> str:
    if code is None:
        return "could not be started"
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


@contextmanager
def _signals(handle: Callable[[signal.Signals, int], None]) -> Generator[None, None, None]:
    """Call *handle* with each signal to stop, and with how many there have been. For the main thread."""
    loop = asyncio.get_running_loop()
    times = 0

    def count(number: signal.Signals) -> None:
        nonlocal times
        times += 1
        handle(number, times)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        loop.add_signal_handler(number, count, number)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)

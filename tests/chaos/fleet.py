"""Worker processes that are killed and replaced, and stopped and woken, in mid-task.

A process is busy by what its tasks themselves write down outside the system.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from tests.chaos.history import History
from tests.support.processes import AIOQUEUE, Process
from tests.support.waiting import eventually, pause

_SEEN = 1.0
"""Seconds a process that was woken is left alone, so that it says what it has to say."""


class Fleet:
    """Workers of ``tests.chaos.app``. cwd: a folder whose aioqueue they run; None for this one."""

    def __init__(
        self,
        stack: AsyncExitStack,
        history: History,
        env: Mapping[str, str],
        *,
        concurrency: int,
        cwd: Path | None = None,
    ) -> None:
        self._stack = stack
        self._history = history
        self._env = env
        self._concurrency = concurrency
        self._cwd = cwd
        self._still: set[int] = set()
        self.processes: dict[int, Process] = {}
        self.started: list[Process] = []
        self.killed: dict[int, float] = {}
        """When each was dead who was killed, by this machine's clock."""

    def said(self, text: str) -> int:
        """Return how many lines with *text* all processes wrote, those that are dead too."""
        return sum(text in line for process in self.started for line in process.lines)

    def lapses(self) -> int:
        """Return how often a process that lives lost its lease: stopped, or on too busy a machine."""
        return self.said("the lease of consumer")

    async def grow(self) -> None:
        """Start one more."""
        options = ("-c", str(self._concurrency), "--log-level", "warning")
        argv = [*AIOQUEUE, "worker", "tests.chaos.app:server", *options]
        process = await self._stack.enter_async_context(Process.start(argv, env=self._env, cwd=self._cwd))
        self.processes[process.pid] = process
        self.started.append(process)

    async def kill_a_busy_one(self, *, but_the_eldest: bool = False) -> int:
        """SIGKILL a process that runs a task at this moment, and replace it; return how many it ran.

        but_the_eldest: somebody has to live for as long as a lease to judge who is dead.
        """
        pid = random.choice(await self._busy(but_the_eldest))
        process = self.processes.pop(pid)
        process.signal(signal.SIGKILL)
        await process.wait()
        self.killed[pid] = time.time()
        running = self._history.in_flight()[pid]
        await self.grow()
        return running

    async def stop_a_busy_one(self, seconds: float) -> int:
        """SIGSTOP a process other than the eldest for that long; return how many tasks it held still."""
        pid = max(await self._busy(True), key=lambda pid: self._history.in_flight()[pid])
        process = self.processes[pid]
        self._still.add(pid)
        process.signal(signal.SIGSTOP)
        running = self._history.in_flight()[pid]
        await pause(seconds)
        process.signal(signal.SIGCONT)
        await pause(_SEEN)
        self._still.discard(pid)
        return running

    async def _busy(self, but_the_eldest: bool) -> list[int]:
        found: list[int] = []

        def some() -> bool:
            nonlocal found
            free = [pid for pid in self.processes if pid not in self._still][but_the_eldest:]
            running = self._history.in_flight()
            found = [pid for pid in free if running[pid]]
            return bool(found)

        await eventually(some, deadline=60)
        return found

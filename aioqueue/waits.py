"""Waits: which slots of a worker wait for tasks that only such a slot could run.

A task may send others and await them, as long as slots are left for those. When every slot of a worker has
waited long for tasks of its own queues that have not started, nothing of it would ever move again: one that
waits is told so, and its slot is free.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection
from contextvars import ContextVar
from typing import Final

from aioqueue.context import running
from aioqueue.errors import TaskDeadlockError

_log = logging.getLogger("aioqueue.worker")

LONG: Final = 10.0
"""Seconds after which slots that all wait are taken for stuck."""


class Waits:
    """The waits of one worker's slots."""

    def __init__(self, slots: int, queues: Collection[str]) -> None:
        self.slots = slots
        self.queues: frozenset[str] = frozenset(queues)
        self._waiting: Counter[str] = Counter()
        self._since: float | None = None

    def enter(self, task: str) -> None:
        """Write that a task waits; one that waits for many counts once."""
        self._waiting[task] += 1
        if self._since is None and len(self._waiting) >= self.slots:
            self._since = asyncio.get_running_loop().time()

    def leave(self, task: str) -> None:
        """Write that it waits no more."""
        self._waiting[task] -= 1
        if not self._waiting[task]:
            del self._waiting[task]
            self._since = None

    @property
    def stuck(self) -> bool:
        """True when all slots have waited for long."""
        return self._since is not None and asyncio.get_running_loop().time() - self._since >= LONG


waits: ContextVar[Waits] = ContextVar("aioqueue_waits")
"""The waits of the worker whose task runs here."""


class Wait:
    """One wait, in a task or outside of any; it counts while what is awaited has not started."""

    def __init__(self) -> None:
        self._here = waits.get(None)
        self._counts = False

    @property
    def in_task(self) -> bool:
        """True if it is a task that waits."""
        return self._here is not None

    @property
    def stuck(self) -> bool:
        """True when all slots of the worker have waited for long."""
        return self._counts and self._here is not None and self._here.stuck

    def on(self, queue: str | None) -> None:
        """Say in which queue what is awaited waits to be started; None: it does not, or nobody knows."""
        if self._here is None or (queue in self._here.queues) is self._counts:
            return
        self._counts = not self._counts
        act = self._here.enter if self._counts else self._here.leave
        act(running.get().task_id)

    def deadlock(self, queue: str) -> TaskDeadlockError:
        """Return the error of a wait that nothing would end, having logged it."""
        here, context = waits.get(), running.get()
        message = (
            f"all {here.slots} slots of worker {context.worker} wait for tasks of its own queues, among them "
            f"{queue!r}, and none of those has started for {LONG:g} s; raise concurrency, start another "
            "worker, or return the workflow instead of awaiting it"
        )
        _log.error("%s[%s]: %s", context.task_name, context.task_id, message)
        return TaskDeadlockError(message)

"""Waits: which slots of a worker wait for tasks that only such a slot could run.

A task may send others and await them, as long as slots are left for those. When every slot of a worker has
waited long for tasks of its own queues that have not started, nothing of it moves any more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

LONG: Final = 10.0
"""Seconds after which slots that all wait are taken for stuck."""


class Waits:
    """The waits of one worker's slots."""

    def __init__(self, slots: int, queues: Collection[str]) -> None:
        self.slots = slots
        self.queues = frozenset(queues)
        self._waiting: Counter[int] = Counter()
        self._since: float | None = None

    @contextmanager
    def waiting(self, slot: object, queue: str) -> Iterator[None]:
        """Count *slot* as one that waits for a task in *queue*; one that waits for many counts once."""
        if queue not in self.queues:
            yield
            return
        key = id(slot)
        self._waiting[key] += 1
        if self._since is None and len(self._waiting) >= self.slots:
            self._since = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key]
                self._since = None

    @property
    def stuck(self) -> bool:
        """True when all slots have waited for long."""
        return self._since is not None and asyncio.get_running_loop().time() - self._since >= LONG


waits: ContextVar[Waits | None] = ContextVar("waits", default=None)
"""The waits of the worker whose task runs here."""

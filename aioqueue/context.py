"""Context: what a running task can know of itself, by ``current()``; never a mandatory argument."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import timedelta

from aioqueue.errors import ConfigurationError
from aioqueue.models.state import ErrorInfo
from aioqueue.models.types import duration
from aioqueue.values import lean


@lean
class Context:
    """The attempt that runs. attempt: from 1. losses: workers that died holding the task.

    sent_at: Unix seconds of its sending. headers: as the sender gave them. error: of an ``on_error`` call,
    the whole error it is called for: type, message, traceback, and whose it is.
    """

    task_id: str
    task_name: str
    queue: str
    attempt: int
    losses: int
    headers: Mapping[str, str]
    worker: str
    sent_at: float
    error: ErrorInfo | None = None

    def extend(self, seconds: float | timedelta) -> None:
        """Give this attempt so much more time before its timeout; nothing where it has none, or it is over.

        Called from the task, its threads, or the tasks it has started. Raises ConfigurationError in a process
        of its own, whose deadline cannot be moved.
        """
        extender = extending.get(None)
        if extender is None:
            raise ConfigurationError(
                "extend() moves the deadline of what runs on the loop or in a thread; "
                "a task with executor='process' needs a longer timeout"
            )
        try:
            more = duration(seconds)
        except ValueError as exc:
            raise ConfigurationError(f"extend(): {exc}") from None
        extender(more)


running: ContextVar[Context] = ContextVar("aioqueue_context")
extending: ContextVar[Callable[[float], None]] = ContextVar("aioqueue_extending")
"""Moves the deadline of the attempt that runs here by some seconds; may be called from any thread."""


def current() -> Context:
    """Return the context of the task that runs here. Raises ConfigurationError outside of one."""
    context = running.get(None)
    if context is None:
        raise ConfigurationError("current() is for code that a worker runs; no task is running here")
    return context

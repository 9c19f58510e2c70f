"""Context: what a running task can know of itself, by ``current()``; never a mandatory argument."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar

from aioqueue.errors import ConfigurationError
from aioqueue.models.state import ErrorInfo
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


running: ContextVar[Context] = ContextVar("aioqueue_context")


def current() -> Context:
    """Return the context of the task that runs here. Raises ConfigurationError outside of one."""
    context = running.get(None)
    if context is None:
        raise ConfigurationError("current() is for code that a worker runs; no task is running here")
    return context

"""Context: what a running task can know of itself, by ``current()``; never a mandatory argument."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import timedelta
from math import isfinite
from typing import Any, Final, Protocol, cast

from aioqueue.errors import ConfigurationError
from aioqueue.models.state import ErrorInfo
from aioqueue.models.types import duration
from aioqueue.values import lean

_MESSAGE: Final = 1_024


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
        reach = reaching.get(None)
        if reach is None:
            raise ConfigurationError(
                "extend() moves the deadline of what runs on the loop or in a thread; "
                "a task with executor='process' needs a longer timeout"
            )
        try:
            more = duration(seconds)
        except ValueError as exc:
            raise ConfigurationError(f"extend(): {exc}") from None
        reach.extend(more)

    def progress(
        self, done: float | None = None, total: float | None = None, message: str | None = None
    ) -> None:
        """Tell how far this attempt is, to who follows ``result.events()``. It returns at once.

        done, total: in any unit. message: at most 1,024 characters of it are kept. Of what is told faster
        than it can be written the last is kept. Called from the task, its threads, or the tasks it has
        started; nothing where the task has no record. Raises ConfigurationError for what is no number or
        text, and in a process of its own.
        """
        reach = reaching.get(None)
        if reach is None:
            raise ConfigurationError(
                "progress() tells of what runs on the loop or in a thread; "
                "a task with executor='process' has nobody to tell it to"
            )
        for name, number in (("done", done), ("total", total)):
            if number is not None and not _is_number(number):
                raise ConfigurationError(f"progress(): {name} is no finite number: {number!r}")
        if message is not None and not isinstance(message, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # user code
            raise ConfigurationError(f"progress(): message is no text: {message!r}")
        said = None if message is None else message[:_MESSAGE].encode("utf-8", "backslashreplace").decode()
        reach.progress(done, total, said)


class Reach(Protocol):
    """What the attempt that runs here can do; each may be called from any of its threads, but for value."""

    def extend(self, seconds: float) -> None: ...

    def progress(self, done: float | None, total: float | None, message: str | None) -> None: ...

    async def value(self, value: object, dump: Callable[[object], Any]) -> None: ...


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and isfinite(cast(float, value)) and abs(cast(float, value)) < 2**63


running: ContextVar[Context] = ContextVar("aioqueue_context")
reaching: ContextVar[Reach] = ContextVar("aioqueue_reaching")
"""The reach of the attempt that runs here; there is none in a process of its own."""


def current() -> Context:
    """Return the context of the task that runs here. Raises ConfigurationError outside of one."""
    context = running.get(None)
    if context is None:
        raise ConfigurationError("current() is for code that a worker runs; no task is running here")
    return context

"""The errors aioqueue raises, in one tree.

    AioqueueError
    ├── ConfigurationError          the set-up is wrong; nothing was sent or run
    │   ├── MissingExtraError       an optional dependency is not installed
    │   └── DuplicateTaskError      two tasks want one name
    ├── SignatureError              a call does not fit its task, or cannot be data
    ├── UnknownTaskError            no task of that name is registered here
    ├── TaskError                   a task ended without a value; what the record says
    │   ├── TaskFailedError
    │   │   └── TaskTimeoutError
    │   ├── TaskCancelledError
    │   └── TaskExpiredError
    ├── ResultTimeoutError          the wait was over before the task was
    ├── TaskDeadlockError           all slots of a worker wait for tasks that only such a slot could run
    ├── ResultNotFoundError         unknown, forgotten or expired id
    ├── ScheduleNotFoundError       no schedule of that name
    ├── UnavailableError            a store cannot be reached; may be tried again
    │   ├── BrokerUnavailableError
    │   └── BackendUnavailableError
    ├── UniqueConflictError         another task has the call's unique key; it was not sent
    ├── QueueFullError
    └── PayloadTooLargeError

``Retry`` and ``Reject`` are no errors: a task raises them to say how its attempt ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Self


class AioqueueError(Exception):
    """The root of every error aioqueue raises."""


class ConfigurationError(AioqueueError):
    """The set-up is wrong; the message says what to write instead."""


class MissingExtraError(ConfigurationError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; run: pip install 'aioqueue-tasks[{extra}]'")


class DuplicateTaskError(ConfigurationError):
    """A task of that name is registered already."""


class SignatureError(AioqueueError):
    """A call does not fit its task, or holds a value that cannot be data; names the parameter."""


class UnknownTaskError(AioqueueError):
    """No task of that name is registered here."""


class TaskError(AioqueueError):
    """A task ended without a value; ``str()`` is the message alone.

    type: name of the exception the task raised. traceback: its text, or None.
    attempts: runs that were started. cause: the error of the task this one failed for, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        type: str = "TaskError",
        traceback: str | None = None,
        task_id: str = "",
        task_name: str = "",
        attempts: int = 0,
        cause: TaskError | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.type = type
        self.traceback = traceback
        self.task_id = task_id
        self.task_name = task_name
        self.attempts = attempts
        self.cause = cause

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Let a task take errors among the values of a group; they are handed to it, never read from data."""
        return {"type": "is-instance", "cls": cls}

    def __repr__(self) -> str:
        return f"<{self.__class__.__name__} {self.task_name}[{self.task_id}] {self.type}: {self.message}>"


class TaskFailedError(TaskError):
    """The task raised, or could not be run."""


class TaskTimeoutError(TaskFailedError):
    """The task ran longer than its timeout."""


class TaskCancelledError(TaskError):
    """The task was cancelled."""


class TaskExpiredError(TaskError):
    """The task was not started before its ``expires``."""


class ResultTimeoutError(AioqueueError):
    """The wait was over before the task was; the task goes on."""


class TaskDeadlockError(AioqueueError):
    """Every slot of a worker waits for tasks that only such a slot could run."""


class ResultNotFoundError(AioqueueError):
    """There is no record of that id: it is unknown, forgotten or expired."""


class ScheduleNotFoundError(AioqueueError):
    """There is no schedule of that name."""


class UnavailableError(AioqueueError):
    """A store cannot be reached or answers with a fault; the same call may be tried again."""


class BrokerUnavailableError(UnavailableError):
    """The broker cannot be reached.

    results: AsyncResults of a send whose outcome is unknown; sending again with their ids is safe.
    """

    def __init__(self, message: str, *, results: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.results: tuple[Any, ...] = tuple(results)


class BackendUnavailableError(UnavailableError):
    """The result backend cannot be reached."""


class UniqueConflictError(AioqueueError):
    """Another open task has the unique key of a call, which was not sent.

    task_id: the one that has it. results: of a ``send_many`` all there are, in order; what else was in it
    was sent.
    """

    def __init__(self, message: str, *, task_id: str, results: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.task_id = task_id
        self.results: tuple[Any, ...] = tuple(results)

    @classmethod
    def of(cls, name: str, *, task_id: str, results: Sequence[Any] = ()) -> Self:
        """Return the error of a call of the task *name*."""
        return cls(
            f"{name}: the task {task_id} has its unique key, so it was not sent; await that one, or say what "
            "becomes of a second call: on_conflict='return', 'replace' or 'drop'",
            task_id=task_id,
            results=results,
        )


class QueueFullError(AioqueueError):
    """The queue holds as many tasks as it may; nothing was sent."""

    @classmethod
    def of(cls, queue: str, *, limit: int, held: int, new: int) -> Self:
        """Return the error of *new* tasks for a queue that holds *held* and may hold *limit*."""
        return cls(
            f"queue {queue!r} holds {held} of at most {limit} tasks (max_queue), so {new} more "
            f"{'is' if new == 1 else 'are'} refused and nothing was sent; send again when some have ended, "
            "fewer at once, or raise max_queue"
        )


class PayloadTooLargeError(AioqueueError):
    """A call or a result has more bytes than ``max_payload``; nothing was written."""


class Retry(Exception):  # noqa: N818 - raised to steer, not to report
    """Raised in a task: end this attempt and run the task again.

    delay: seconds or timedelta until then; eta: an aware datetime instead. With neither, the
    task's policy says when, or at once without one. Raises ConfigurationError for a delay that
    is no finite number of 0 or more, and for a naive eta.
    """

    def __init__(
        self, reason: str = "retry", *, delay: float | timedelta | None = None, eta: datetime | None = None
    ) -> None:
        super().__init__(reason)
        if eta is not None and eta.tzinfo is None:
            raise ConfigurationError("Retry(eta=...) needs an aware datetime; add a tzinfo")
        if eta is not None and delay is not None:
            raise ConfigurationError("Retry takes delay or eta, not both")
        self.delay: float | None = None if delay is None else _pause(delay)
        self.eta: float | None = eta.timestamp() if eta is not None else None


def _pause(delay: float | timedelta) -> float:
    seconds: Any = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ConfigurationError(f"Retry(delay=...) takes seconds or a timedelta, not {seconds!r}")
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ConfigurationError(f"Retry(delay=...) takes 0 or more seconds, and not {seconds!r}")
    return float(seconds)


class Reject(Exception):  # noqa: N818 - raised to steer, not to report
    """Raised in a task: fail it for good, without a retry, and keep it in the dead letters."""

    def __init__(self, reason: str = "rejected") -> None:
        super().__init__(reason)

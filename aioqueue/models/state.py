"""States of a task, and what a person is told of one.

A state moves forward only; SUCCESS, FAILURE, CANCELLED and EXPIRED are final.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class State(StrEnum):
    """Where a task stands."""

    PENDING = "PENDING"
    STARTED = "STARTED"
    RETRY = "RETRY"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"

    @property
    def final(self) -> bool:
        """True when no further attempt can start."""
        return self in FINAL


FINAL = frozenset({State.SUCCESS, State.FAILURE, State.CANCELLED, State.EXPIRED})


class CancelOutcome(StrEnum):
    """What a cancel has come to. RUNNING: it was to spare what runs, and this does."""

    CANCELLED = "CANCELLED"
    ALREADY_DONE = "ALREADY_DONE"
    NOT_FOUND = "NOT_FOUND"
    RUNNING = "RUNNING"


class RescheduleOutcome(StrEnum):
    """What a reschedule has come to; true if the task has another moment now.

    NOT_WAITING: it waits for no moment: it is due, it runs, or it waits for other tasks.
    """

    RESCHEDULED = "RESCHEDULED"
    NOT_WAITING = "NOT_WAITING"
    ALREADY_DONE = "ALREADY_DONE"
    NOT_FOUND = "NOT_FOUND"

    def __bool__(self) -> bool:
        return self is RescheduleOutcome.RESCHEDULED


class ErrorInfo(BaseModel):
    """The error on record: text only, an exception is never rebuilt from it."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    type: str
    message: str
    traceback: str | None = None
    task_id: str = ""
    task_name: str = ""
    attempt: int = 0
    worker: str | None = None


class AttemptInfo(BaseModel):
    """An attempt that came to no value. Moments are Unix seconds of the store's clock.

    error: of one whose worker died the type is WorkerLost. next_at: when the next one was due.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    attempt: int
    error: ErrorInfo
    worker: str | None = None
    started_at: float | None = None
    ended_at: float | None = None
    next_at: float | None = None


class TaskState(BaseModel):
    """A task's record as a person reads it. Moments are Unix seconds of the store's clock.

    attempt: number of the last attempt that was started or is waiting, from 1. losses: workers
    that died while they held the task. next_at: when it is due, while it waits for a moment. plan: the
    workflow that runs in its place. history: the attempts that came to no value, the last 20, oldest first.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    id: str
    name: str
    queue: str
    state: State
    result: Any = None
    error: ErrorInfo | None = None
    attempt: int = 1
    losses: int = 0
    sent_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    next_at: float | None = None
    worker: str | None = None
    plan: str | None = None
    history: tuple[AttemptInfo, ...] = ()


class Cancellation(BaseModel):
    """What a cancel has come to; true if that was a cancel.

    cancelled, finished: ids of the tasks that ended by it, and of those that had ended before.
    interrupted: True if it ran and was interrupted; False if it ran in a thread, which cannot be and goes on,
    unheard; None if it did not run, or its worker did not answer within 200 ms.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    outcome: CancelOutcome
    cancelled: tuple[str, ...] = ()
    finished: tuple[str, ...] = ()
    interrupted: bool | None = None

    def __bool__(self) -> bool:
        return self.outcome is CancelOutcome.CANCELLED

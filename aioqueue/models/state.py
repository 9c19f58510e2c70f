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


class TaskState(BaseModel):
    """A task's record as a person reads it. Moments are Unix seconds of the store's clock.

    attempt: number of the last attempt that was started or is waiting, from 1. losses: workers
    that died while they held the task. next_at: when it is due, while it waits for a moment. plan: the
    workflow that runs in its place.
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


class Cancellation(BaseModel):
    """What a cancel has come to; true if that was a cancel.

    cancelled, finished: ids of the tasks that ended by it, and of those that had ended before.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    outcome: CancelOutcome
    cancelled: tuple[str, ...] = ()
    finished: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.outcome is CancelOutcome.CANCELLED

"""Events: what is told of a task as it goes on, one after another.

Each has an id from which what comes after it can be asked for, by any process.
"""

from __future__ import annotations

from typing import ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from aioqueue.models.state import ErrorInfo, State

V_co = TypeVar("V_co", covariant=True)


class _Event(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    id: str
    attempt: int
    losses: int = 0
    at: float | None = None


class StateEvent(_Event):
    """The task has come to a state; the last event is that of a final one.

    id: what comes after it is asked for by. attempt, losses: of its run; both are those of ``TaskState``.
    at: Unix seconds of the store's clock. RETRY says that an attempt failed, or died with its worker, and
    that another one follows: *error* tells why, *next_at* when.
    """

    kind: Literal["state"] = "state"
    state: State
    error: ErrorInfo | None = None
    worker: str | None = None
    next_at: float | None = None


class ProgressEvent(_Event):
    """The task has said how far it is. done, total: in units of its own, as far as it said."""

    kind: Literal["progress"] = "progress"
    done: float | None = None
    total: float | None = None
    message: str | None = None


class ValueEvent(_Event, Generic[V_co]):
    """The task has yielded a value. Those of a run that another one followed are void."""

    kind: Literal["value"] = "value"
    value: V_co


Event = StateEvent | ProgressEvent | ValueEvent[V_co]
"""What ``AsyncResult.events`` gives; *kind* tells them apart."""

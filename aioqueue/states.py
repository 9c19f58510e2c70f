"""States: records as people read them, and the errors that they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from aioqueue import codec
from aioqueue.errors import TaskCancelledError, TaskError, TaskExpiredError, TaskFailedError
from aioqueue.events import died
from aioqueue.joins import error_of
from aioqueue.models.state import AttemptInfo, State, TaskState
from aioqueue.protocols.messages import Attempt, Record

_BY_STATE: dict[State, type[TaskError]] = {
    State.CANCELLED: TaskCancelledError,
    State.EXPIRED: TaskExpiredError,
}


_OTHERS = frozenset(kind.__name__ for kind in _BY_STATE.values())


def join_of(record: Record) -> str | None:
    """Return the join whose values are those of a record: that of a group has no queue."""
    return record.joined or (None if record.queue else record.id)


def shown(values: list[Any]) -> list[Any]:
    """Return the values of a group as a person reads them: of errors type and message."""
    return [
        {"error": value.type, "message": value.message}
        if isinstance(value, TaskError)
        else shown(cast("list[Any]", value))
        if isinstance(value, list)
        else value
        for value in values
    ]


def attempt_info(ended: Attempt) -> AttemptInfo:
    """Return an attempt as a person reads it."""
    return AttemptInfo(
        attempt=ended.number,
        error=died(ended) if ended.error is None else codec.decode_error(ended.error),
        worker=ended.worker,
        started_at=ended.started,
        ended_at=ended.ended,
        next_at=ended.next_at,
    )


def last_attempt(record: Record) -> Iterator[AttemptInfo]:
    """Yield the attempt whose failure is the task's."""
    if record.state is State.FAILURE and record.error is not None and record.started and not record.plan:
        yield AttemptInfo(
            attempt=record.attempt,
            error=codec.decode_error(record.error),
            worker=record.worker,
            started_at=record.started,
            ended_at=record.finished,
        )


def task_state(record: Record, history: tuple[AttemptInfo, ...] = ()) -> TaskState:
    """Return *record* as a person reads it."""
    return TaskState(
        id=record.id,
        name=record.name,
        queue=record.queue,
        state=record.state,
        result=None if record.value is None else codec.decode_value(record.value),
        error=None if record.error is None else codec.decode_error(record.error),
        attempt=record.attempt,
        losses=record.losses,
        sent_at=record.sent,
        started_at=record.started,
        finished_at=record.finished,
        next_at=record.due,
        worker=record.worker,
        plan=record.plan,
        history=history,
    )


def task_error(record: Record) -> TaskError:
    """Return the error of a record that ended without a value."""
    if record.error is None:
        kind = _BY_STATE.get(record.state, TaskFailedError)
        return kind(
            f"the task ended {record.state}",
            task_id=record.id,
            task_name=record.name,
            attempts=record.attempt,
        )
    info = codec.decode_error(record.error)
    where = {
        "task_id": info.task_id or record.id,
        "task_name": info.task_name or record.name,
        "attempt": info.attempt or record.attempt,
    }
    own = _BY_STATE.get(record.state)
    if own is None and info.task_id == record.id and info.type in _OTHERS:
        # it raised what it got for another task
        own = TaskFailedError
    return error_of(info.model_copy(update=where), own)

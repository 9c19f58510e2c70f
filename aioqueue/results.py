"""AsyncResult: a task's outcome to come, awaitable in any process that knows its id.

Waiting asks the backend again and again for as long as it takes; the backend answers at once
when the task ends. Nobody waits in silence for a worker that is not there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar, cast, overload

from pydantic import ValidationError

from aioqueue import codec
from aioqueue.clock import Clock
from aioqueue.errors import (
    ConfigurationError,
    ResultNotFoundError,
    ResultTimeoutError,
    TaskCancelledError,
    TaskError,
    TaskExpiredError,
    TaskFailedError,
    TaskTimeoutError,
    UnavailableError,
)
from aioqueue.models.signature import R_co
from aioqueue.models.state import ErrorInfo, State, TaskState
from aioqueue.models.stats import WorkerCard
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.flow import Kind, Member
from aioqueue.protocols.messages import Record
from aioqueue.protocols.store import Store

_log = logging.getLogger("aioqueue.results")

R = TypeVar("R")

CARDS = "worker:"
"""Prefix under which live workers' cards stand in the store."""

_ROUND = 10.0
_LOOK = 1.0
_PAGE = 200
_BY_TYPE: dict[str, type[TaskError]] = {"TaskTimeoutError": TaskTimeoutError}
_MEMBERS: dict[str, type[TaskError]] = {
    **_BY_TYPE,
    "TaskExpiredError": TaskExpiredError,
    "TaskCancelledError": TaskCancelledError,
}
_BY_STATE: dict[State, type[TaskError]] = {
    State.CANCELLED: TaskCancelledError,
    State.EXPIRED: TaskExpiredError,
}


@dataclass(frozen=True, slots=True)
class Reading:
    """How a record becomes what the waiter gets.

    raises: exceptions that come back as themselves, made of the message alone. They are told by
    the bare name of their class, as a record holds no more; one that cannot be made so comes back
    as TaskFailedError.
    """

    load: Callable[[Any], Any] | None = None
    raises: tuple[type[Exception], ...] = ()

    def read(self, value: Any) -> Any:
        """Return a JSON value as the waiter gets it; an error, among a group's values, as it is."""
        return value if self.load is None or isinstance(value, TaskError) else self.load(value)


@dataclass(frozen=True, slots=True)
class Results:
    """Where results are read. backend: None where they are off."""

    backend: Backend | None
    store: Store | None
    clock: Clock

    def required(self) -> Backend:
        """Return the backend. Raises ConfigurationError where results are off."""
        if self.backend is None:
            raise ConfigurationError(
                "results are off: this broker keeps none; name a backend, as backend='redis://…'"
            )
        return self.backend

    async def warn_if_unserved(self, record: Record) -> bool:
        """Log once that no live worker serves the record's queue; True if it has been said.

        Raises nothing: a store that is away is asked again, a card of another version is skipped.
        """
        if self.store is None:
            return True
        try:
            listed = await self.store.list(CARDS)
        except UnavailableError as exc:
            _log.debug("cannot tell whether a worker serves queue %r: %s", record.queue, exc)
            return False
        if any(record.queue in card.queues for card in map(_card, listed.values()) if card is not None):
            return False
        _log.warning(
            "%s[%s] waits on queue %r and no live worker serves it; start one: aioqueue worker APP -q %s",
            record.name,
            record.id,
            record.queue,
            record.queue,
        )
        return True


class AsyncResult(Generic[R_co]):
    """The outcome of one task. ``await`` it, in the sending process or, by id, in another.

    created: False if its id was known when it was sent, so that nothing was; None where nobody sent.
    """

    def __init__(self, id: str, results: Results, reading: Reading = Reading()) -> None:
        self.id = id
        self.created: bool | None = None
        self._results = results
        self._reading = reading

    def __repr__(self) -> str:
        return f"<AsyncResult {self.id}>"

    def __await__(self) -> Generator[Any, None, R_co]:
        return self.get().__await__()

    async def get(self, *, timeout: float | None = None) -> R_co:
        """Return the task's value as soon as there is one.

        timeout: seconds to wait; None waits as long as it takes.
        Raises TaskFailedError, TaskTimeoutError, TaskCancelledError, TaskExpiredError,
        ResultTimeoutError, ResultNotFoundError, BackendUnavailableError.
        """
        backend = self._results.required()
        until = None if timeout is None else self._results.clock.time() + timeout
        told = False
        while True:
            left = _ROUND if until is None else min(_ROUND, until - self._results.clock.time())
            record = await backend.wait(self.id, timeout=max(0.0, left))
            if record is None:
                raise ResultNotFoundError(
                    f"there is no task {self.id!r}: it is unknown, forgotten or expired"
                )
            if record.state.final:
                return self._value(record)
            if until is not None and self._results.clock.time() >= until:
                raise ResultTimeoutError(f"{record.name}[{self.id}] is {record.state} after {timeout} s")
            if (
                record.state is State.PENDING
                and record.due is not None
                and record.due <= self._results.clock.time()
            ):
                told = told or await self._results.warn_if_unserved(record)
            # a clock in a test's hands may let a wait end without one turn of the loop
            await asyncio.sleep(0)

    async def state(self) -> TaskState:
        """Return the task's record. Raises ResultNotFoundError, BackendUnavailableError."""
        record = (await self._results.required().get([self.id]))[0]
        if record is None:
            raise ResultNotFoundError(f"there is no task {self.id!r}: it is unknown, forgotten or expired")
        return task_state(record)

    async def forget(self) -> None:
        """Drop the record; of a task that still runs, as soon as it ends."""
        await self._results.required().forget([self.id])

    def _value(self, record: Record) -> R_co:
        if record.state is State.SUCCESS:
            value: R_co = self._read(record.value)
            return value
        error = task_error(record)
        for kind in self._reading.raises:
            if kind.__name__ == error.type and (own := _made(kind, error)) is not None:
                raise own from error
        raise error

    def _read(self, data: bytes | None) -> Any:
        # a value that was ignored was not kept, and is no value of the task's type
        if data is None:
            return None
        value = codec.decode_value(data)
        return value if self._reading.load is None else self._reading.load(value)


class GroupResult(AsyncResult[list[R]]):
    """The outcomes of a group, in the order of its members. id: of the group's record.

    readings: how each member's value is read; raw JSON where they are not known.
    """

    def __init__(self, id: str, results: Results, readings: Sequence[Reading] = ()) -> None:
        super().__init__(id, results)
        self._readings = readings

    def __repr__(self) -> str:
        return f"<GroupResult {self.id}>"

    @overload
    async def get(self, *, timeout: float | None = None, errors: Literal["raise"] = "raise") -> list[R]: ...
    @overload
    async def get(
        self, *, timeout: float | None = None, errors: Literal["return"]
    ) -> list[R | TaskError]: ...
    async def get(
        self, *, timeout: float | None = None, errors: Literal["raise", "return"] = "raise"
    ) -> list[Any]:
        """Return the members' values, in order, as soon as all of them have ended.

        timeout: seconds to wait; None waits as long as it takes. errors: ``raise`` the first failure as soon
        as one is known, while the rest runs on, or ``return`` errors among the values. Raises as
        AsyncResult.get.
        """
        outcomes = await self._outcomes(timeout, first=errors == "raise")
        readings = (*self._readings, *[Reading()] * (len(outcomes) - len(self._readings)))
        return [reading.read(outcome) for reading, outcome in zip(readings, outcomes, strict=True)]

    async def _outcomes(self, timeout: float | None, *, first: bool) -> list[Any]:
        backend = self._results.required()
        until = None if timeout is None else self._results.clock.time() + timeout
        while True:
            left = _LOOK if until is None else min(_LOOK, until - self._results.clock.time())
            record = await backend.wait(self.id, timeout=max(0.0, left))
            if record is None:
                raise ResultNotFoundError(f"there is no group {self.id!r}: unknown, forgotten or expired")
            if record.state.final and record.state is not State.SUCCESS:
                raise task_error(record)
            outcomes = (await joined(backend, self.id)).values
            if first and (error := first_error(outcomes)) is not None:
                raise error
            if record.state.final:
                return outcomes
            if until is not None and self._results.clock.time() >= until:
                raise ResultTimeoutError(f"group {self.id} is {record.state} after {timeout} s")
            await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Joined:
    """What a join has come to. values: in order; TaskErrors among them, NOT_JOINED for who has not."""

    values: list[Any]
    single: bool


NOT_JOINED: Final = object()
"""Stands for a member that has not joined."""


async def joined(backend: Backend, join: str) -> Joined:
    """Return what the members of a join have come to; of another join among them, the list of its values.

    They are read in pages, so that no reply grows with the width of a group. Raises ResultNotFoundError.
    """
    values: list[Any] = []
    while True:
        page = await backend.members(join, len(values), _PAGE)
        if page is None:
            raise ResultNotFoundError(f"the values of {join!r} are not kept any more")
        for member in page.members:
            values.append(NOT_JOINED if member is None else await _value(backend, member))
        if len(values) >= page.size or not page.members:
            return Joined(values, page.single)


def first_error(outcomes: Iterable[Any]) -> TaskError | None:
    """Return the first error among outcomes, and in the groups among them."""
    for outcome in outcomes:
        if isinstance(outcome, TaskError):
            return outcome
        found = first_error(cast("list[Any]", outcome)) if isinstance(outcome, list) else None
        if found is not None:
            return found
    return None


async def _value(backend: Backend, member: Member) -> Any:
    match member.kind:
        case Kind.VALUE:
            return codec.decode_value(member.data)
        case Kind.ERROR:
            return member_error(codec.decode_error(member.data))
        case Kind.JOIN:
            return (await joined(backend, member.data.decode())).values


def member_error(info: ErrorInfo) -> TaskError:
    """Return the error that a member of a group has come to."""
    return _MEMBERS.get(info.type, TaskFailedError)(
        info.message,
        type=info.type,
        traceback=info.traceback,
        task_id=info.task_id or "",
        task_name=info.task_name or "",
        attempts=info.attempt or 0,
    )


def _card(data: bytes) -> WorkerCard | None:
    try:
        return WorkerCard.model_validate_json(data)
    except ValidationError as exc:
        _log.debug("a worker's card cannot be read, perhaps of another version: %s", exc)
        return None


def _made(kind: type[Exception], error: TaskError) -> Exception | None:
    """Return the user's exception with the message on record; None if it wants more than that."""
    try:
        made: Any = kind(error.message)
    except Exception as exc:  # noqa: BLE001 - __init__ is the user's code
        _log.debug("%s cannot be made of its message: %r", kind.__qualname__, exc)
        return None
    return made if isinstance(made, Exception) else None


def task_state(record: Record) -> TaskState:
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
    kind = _BY_STATE.get(record.state) or _BY_TYPE.get(info.type, TaskFailedError)
    return kind(
        info.message,
        type=info.type,
        traceback=info.traceback,
        task_id=info.task_id or record.id,
        task_name=info.task_name or record.name,
        attempts=info.attempt or record.attempt,
    )

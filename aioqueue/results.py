"""AsyncResult: a task's outcome to come, awaitable in any process that knows its id.

Waiting asks the backend again and again for as long as it takes; the backend answers at once
when the task ends. Nobody waits in silence for a worker that is not there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, overload

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
from aioqueue.joins import Watch, first_error, gone
from aioqueue.models.signature import R_co
from aioqueue.models.state import State, TaskState
from aioqueue.models.stats import GroupCounts, WorkerCard
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.messages import Record
from aioqueue.protocols.store import Store

_log = logging.getLogger("aioqueue.results")

R = TypeVar("R")

CARDS = "worker:"
"""Prefix under which live workers' cards stand in the store."""

_ROUND = 10.0
_SOON = 0.05
_LOOK = 1.0
_BY_TYPE: dict[str, type[TaskError]] = {"TaskTimeoutError": TaskTimeoutError}
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
        self._counted: Watch | None = None
        self._failed = 0

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
        found = {number: value async for number, value in self._ended(timeout, first=errors == "raise")}
        return [found[number] for number in range(len(found))]

    async def counts(self) -> GroupCounts:
        """Return how many of the members have ended by now.

        A group among them has ended when all of it has, and has failed where one of its members has.
        Raises ResultNotFoundError, BackendUnavailableError.
        """
        watch = self._counted = self._counted or Watch(self._results.required(), self.id)
        async for _, outcome in watch.look():
            self._failed += first_error([outcome]) is not None
        ended = watch.size - watch.left
        return GroupCounts(total=watch.size, completed=ended - self._failed, failed=self._failed)

    @overload
    def as_completed(self, *, errors: Literal["raise"] = "raise") -> AsyncIterator[tuple[int, R]]: ...
    @overload
    def as_completed(self, *, errors: Literal["return"]) -> AsyncIterator[tuple[int, R | TaskError]]: ...
    def as_completed(self, *, errors: Literal["raise", "return"] = "raise") -> AsyncIterator[tuple[int, Any]]:
        """Iterate over the members as they end: the number of each, from 0, and its value.

        errors: ``raise`` the failure of a member when its turn comes, or ``return`` it as its value.
        Ends when all have ended. Raises as ``get``, in the iteration.
        """
        return self._ended(None, first=errors == "raise")

    async def _ended(self, timeout: float | None, *, first: bool) -> AsyncIterator[tuple[int, Any]]:
        """Yield number and value of each member as it is seen to have ended. first: raise an error."""
        backend, clock = self._results.required(), self._results.clock
        until = None if timeout is None else clock.time() + timeout
        watch, pause = Watch(backend, self.id), 0.0
        while True:
            left = pause if until is None else min(pause, until - clock.time())
            record = await backend.wait(self.id, timeout=max(0.0, left))
            if record is None:
                raise ResultNotFoundError(f"there is no group {self.id!r}: unknown, forgotten or expired")
            if record.state.final and record.state is not State.SUCCESS:
                raise task_error(record)
            async for number, outcome in watch.look():
                if first and (error := first_error([outcome])) is not None:
                    raise error
                known = number < len(self._readings)
                yield number, self._readings[number].read(outcome) if known else outcome
            if record.state.final:
                if watch.left:
                    raise gone(self.id)
                return
            if until is not None and clock.time() >= until:
                raise ResultTimeoutError(f"group {self.id} is {record.state} after {timeout} s")
            pause = min(_LOOK, max(_SOON, 2 * pause))
            await asyncio.sleep(0)


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

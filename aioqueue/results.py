"""AsyncResult: a task's outcome to come, awaitable in any process that knows its id.

Waiting asks the backend again and again for as long as it takes; the backend answers at once
when the task ends. Nobody waits in silence for a worker that is not there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Generic, TypeVar, cast

from aioqueue import codec
from aioqueue.clock import Clock
from aioqueue.errors import (
    ConfigurationError,
    ResultNotFoundError,
    ResultTimeoutError,
    SignatureError,
    TaskError,
    TaskExpiredError,
    UniqueConflictError,
)
from aioqueue.events import Story
from aioqueue.ids import is_name
from aioqueue.joins import first_error, joined
from aioqueue.models.event import Event
from aioqueue.models.signature import R_co
from aioqueue.models.state import (
    AttemptInfo,
    Cancellation,
    CancelOutcome,
    RescheduleOutcome,
    State,
    TaskState,
)
from aioqueue.models.types import when
from aioqueue.patience import Patience
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.log import Log
from aioqueue.protocols.messages import HISTORY, Record, When
from aioqueue.protocols.store import Store
from aioqueue.states import attempt_info, join_of, last_attempt, shown, task_error, task_state

_log = logging.getLogger("aioqueue.results")

F = TypeVar("F", Record, Log)

ROUND: Final = 10.0
"""Seconds of one wait at a store; after the first one a waiter looks whether anybody serves the queue."""

_SPARED: Final = 2.0
"""Seconds past its time that a task may be found started: clocks differ."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a record becomes what the waiter gets.

    raises: exceptions that come back as themselves, made of the message alone. They are told by
    the bare name of their class, as a record holds no more; one that cannot be made so comes back
    as TaskFailedError. item: makes a value of a stream.
    """

    load: Callable[[Any], Any] | None = None
    raises: tuple[type[Exception], ...] = ()
    item: Callable[[Any], Any] | None = None

    def read(self, value: Any) -> Any:
        """Return a JSON value as the waiter gets it; an error, among a group's values, as it is."""
        return value if self.load is None or isinstance(value, TaskError) else self.load(value)


@dataclass(frozen=True, slots=True)
class Results:
    """Where results are read. backend: None where they are off. canceller: cancels by id.

    rescheduler: gives a task that waits, by its id, another moment.
    """

    backend: Backend | None
    store: Store | None
    clock: Clock
    canceller: Callable[[str], Awaitable[Cancellation]]
    rescheduler: Callable[[str, When], Awaitable[RescheduleOutcome]]

    def required(self) -> Backend:
        """Return the backend. Raises ConfigurationError where results are off."""
        if self.backend is None:
            raise ConfigurationError(
                "results are off: this broker keeps none; name a backend, as backend='redis://…'"
            )
        return self.backend

    async def cancel(self, id: str) -> Cancellation:
        """Cancel a task, or a workflow."""
        self.required()
        # what cannot be an id does not exist, and no store is asked
        return await self.canceller(id) if is_name(id) else Cancellation(outcome=CancelOutcome.NOT_FOUND)

    async def reschedule(
        self, id: str, eta: datetime | None, delay: float | timedelta | None
    ) -> RescheduleOutcome:
        """Give a task that waits for a moment another one. Raises SignatureError for one that is none."""
        self.required()
        try:
            moment = When(*when(eta, delay))
        except ValueError as exc:
            raise SignatureError(f"reschedule: {exc}") from None
        return await self.rescheduler(id, moment) if is_name(id) else RescheduleOutcome.NOT_FOUND

    def patience(self) -> Patience:
        """Return the patience of one who waits."""
        return Patience(self.required(), self.store, self.clock)


class AsyncResult(Generic[R_co]):
    """The outcome of a task, or of a workflow. ``await`` it, in the sending process or, by id, in another.

    created: False if its id was known when it was sent, so that nothing was; None where nobody sent.
    held_by: id of the task for whose unique key it was not sent; it is *id* itself, unless it was dropped.
    record: id of the record that is the outcome, where it is known not to be *id*.
    """

    def __init__(
        self, id: str, results: Results, reading: Reading = Reading(), *, record: str | None = None
    ) -> None:
        self.id = id
        self.created: bool | None = None
        self.held_by: str | None = None
        self._record = record or id
        self._expires: float | None = None
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
        ResultTimeoutError, ResultNotFoundError, BackendUnavailableError; in a task, TaskDeadlockError.
        """
        clock = self._results.clock
        until = None if timeout is None else clock.time() + timeout
        with self._results.patience() as patience:
            if patience.in_task:
                await self._look(patience, await self._waited(0.0), over=False)
            while True:
                ends = [moment for moment in (until, self._expires) if moment is not None]
                record = await self._waited(min([ROUND, *(moment - clock.time() for moment in ends)]))
                if record.state.final:
                    return cast("R_co", await self._value(record))
                self._require_in_time(record)
                if until is not None and clock.time() >= until:
                    raise ResultTimeoutError(f"{record.name}[{self.id}] is {record.state} after {timeout} s")
                await self._look(patience, record, over=True)
                # a clock in a test's hands may let a wait end without one turn of the loop
                await asyncio.sleep(0)

    async def _look(self, patience: Patience, record: Record, *, over: bool) -> None:
        if not record.state.final:
            await patience.look(record, whole=self._record != self.id or not record.queue, over=over)

    def _require_in_time(self, record: Record) -> None:
        """Raise TaskExpiredError where it has not started in time: a worker may never come to say so."""
        if self._expires is None or self._results.clock.time() < self._expires:
            return
        if record.state in (State.PENDING, State.RETRY):
            raise TaskExpiredError(
                "the task expired before it was started, and no worker has met it since",
                task_id=record.id,
                task_name=record.name,
                attempts=record.attempt,
            )
        self._expires = None

    def expires_at(self, moment: float | None) -> None:
        """Say when it expires unless it is started, in Unix seconds, where that is known."""
        self._expires = None if moment is None else moment + _SPARED

    def known_as(self, record: str) -> None:
        """Say what record is the outcome."""
        self._record = record

    async def state(self) -> TaskState:
        """Return the task's record; of a workflow that of its outcome, under the workflow's own id.

        Raises ResultNotFoundError, BackendUnavailableError.
        """
        record = await self._looked(self._got)
        state = task_state(record, await self._history(record)).model_copy(update={"id": self.id})
        if record.state is not State.SUCCESS or (join := join_of(record)) is None:
            return state
        return state.model_copy(update={"result": shown(await joined(self._results.required(), join))})

    async def history(self) -> tuple[AttemptInfo, ...]:
        """Return the attempts that came to no value, the last 20, oldest first: how each ended, and where.

        Raises ResultNotFoundError, BackendUnavailableError.
        """
        return await self._history(await self._looked(self._got))

    async def events(self, *, after: str | None = None) -> AsyncIterator[Event[Any]]:
        """Yield what is told of the task, in order: states, progress, and the values of a stream.

        after: the id of an event: what comes after it, none missed and none twice; None begins at the first.
        It ends after the event of a final state; of a workflow it tells of its outcome's record. Raises
        ResultNotFoundError, BackendUnavailableError, ConfigurationError; in a task, TaskDeadlockError.
        """
        story, backend = Story(after, self._reading.item), self._results.required()
        with self._results.patience() as patience:
            while not story.over:
                log = await self._looked(
                    lambda id: backend.log(id, after=story.number, seen=story.seen, timeout=ROUND)
                )
                events = list(story.go_on(log))
                for event in events:
                    yield event
                if not events:
                    await self._look(patience, log.record, over=True)
                    await asyncio.sleep(0)

    async def cancel(self) -> Cancellation:
        """End the task, or all of the workflow that has not ended: it reads CANCELLED and commits nothing.

        What runs of it is interrupted; awaiting it raises TaskCancelledError at once. Raises
        BackendUnavailableError, BrokerUnavailableError.
        """
        return await self._results.cancel(self.id)

    async def reschedule(
        self, *, eta: datetime | None = None, delay: float | timedelta | None = None
    ) -> RescheduleOutcome:
        """Give the task another moment, sooner or later, if it is delayed or waits to be tried again.

        eta: an aware datetime; one that is past is now. delay: seconds from now, or a timedelta. True if it
        was rescheduled. Raises SignatureError, BackendUnavailableError, BrokerUnavailableError.
        """
        return await self._results.reschedule(self.id, eta, delay)

    async def forget(self) -> None:
        """Drop the record; of a task that still runs, as soon as it ends; of a workflow, that of its outcome.

        Raises ResultNotFoundError, BackendUnavailableError.
        """
        record = await self._looked(self._got)
        await self._results.required().forget([record.id])

    async def _history(self, record: Record) -> tuple[AttemptInfo, ...]:
        """Return what is remembered of a task, and its failure, which is on record."""
        tried = record.attempt > 1 or record.losses > 0 or record.state is State.RETRY
        before = await self._results.required().history(record.id) if tried else []
        return (*map(attempt_info, before), *last_attempt(record))[-HISTORY:]

    async def _waited(self, timeout: float) -> Record:
        """Return the record once it is final, or as it stands after *timeout* s."""
        return await self._looked(partial(self._results.required().wait, timeout=max(0.0, timeout)))

    async def _got(self, id: str) -> Record | None:
        return (await self._results.required().get([id]))[0]

    async def _looked(self, look: Callable[[str], Awaitable[F | None]]) -> F:
        """Return what *look* finds of the record; that of a workflow is found through the workflow."""
        record = await look(self._record)
        if record is None and self._record == self.id and is_name(self.id):
            whole = await self._results.required().workflow(self.id)
            self._record = self.id if whole is None else whole.result
            record = None if whole is None else await look(self._record)
        if record is None and self.held_by not in (None, self.id):
            raise UniqueConflictError.of(f"the call {self.id} was dropped", task_id=str(self.held_by))
        if record is None:
            raise ResultNotFoundError(f"there is no task {self.id!r}: it is unknown, forgotten or expired")
        return record

    async def _value(self, record: Record) -> Any:
        if record.state is State.SUCCESS:
            return await self._success(record)
        error = task_error(record)
        if record.state is State.CANCELLED and record.error is None:
            error.cause = await self._decided_by(record.id)
        for kind in self._reading.raises:
            if kind.__name__ == error.type and (own := _made(kind, error)) is not None:
                raise own from error
        raise error

    async def _decided_by(self, id: str) -> TaskError | None:
        """Return the failure for which a node of a workflow never ran, where that one decided the whole."""
        backend = self._results.required()
        whole = await backend.workflow(id.rpartition(".")[0]) if "." in id else None
        record = None if whole is None else (await backend.get([whole.result]))[0]
        if record is None or record.id == id or record.state is not State.FAILURE:
            return None
        return task_error(record)

    async def _success(self, record: Record) -> Any:
        join = join_of(record)
        if join is not None:
            values = await joined(self._results.required(), join)
            if (error := first_error(values)) is not None:
                raise error
            return self._reading.read(values)
        # a value that was ignored was not kept, and is no value of the task's type
        return None if record.value is None else self._reading.read(codec.decode_value(record.value))


def _made(kind: type[Exception], error: TaskError) -> Exception | None:
    """Return the user's exception with the message on record; None if it wants more than that."""
    try:
        made: Any = kind(error.message)
    except Exception as exc:  # noqa: BLE001 - __init__ is the user's code
        _log.debug("%s cannot be made of its message: %r", kind.__qualname__, exc)
        return None
    return made if isinstance(made, Exception) else None

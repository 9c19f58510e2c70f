"""AsyncResult: a task's outcome to come, awaitable in any process that knows its id.

Waiting asks the backend again and again for as long as it takes; the backend answers at once
when the task ends. Nobody waits in silence for a worker that is not there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, cast

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
from aioqueue.ids import is_name
from aioqueue.joins import first_error, joined
from aioqueue.models.signature import R_co
from aioqueue.models.state import Cancellation, CancelOutcome, State, TaskState
from aioqueue.models.stats import WorkerCard
from aioqueue.outline import nodes_of, outline_of
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.flow import PAGE
from aioqueue.protocols.messages import Record
from aioqueue.protocols.store import Store
from aioqueue.waits import deadlock, waiting_for, waits

_log = logging.getLogger("aioqueue.results")

CARDS = "worker:"
"""Prefix under which live workers' cards stand in the store."""

ROUND: Final = 10.0
"""Seconds of one wait at a store; after the first one a waiter looks whether anybody serves the queue."""

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
    """Where results are read. backend: None where they are off. canceller: cancels by id."""

    backend: Backend | None
    store: Store | None
    clock: Clock
    canceller: Callable[[Sequence[str]], Awaitable[Sequence[CancelOutcome]]]

    def required(self) -> Backend:
        """Return the backend. Raises ConfigurationError where results are off."""
        if self.backend is None:
            raise ConfigurationError(
                "results are off: this broker keeps none; name a backend, as backend='redis://…'"
            )
        return self.backend

    async def cancel(self, id: str) -> Cancellation:
        """Cancel a task, or a workflow, and say what of it was cancelled and what had ended."""
        backend = self.required()
        if not is_name(id):
            # it cannot exist, and no store is asked
            return Cancellation(outcome=CancelOutcome.NOT_FOUND)
        (outcome,) = await self.canceller([id])
        whole = None if outcome is not CancelOutcome.CANCELLED else await backend.workflow(id)
        if whole is None:
            return Cancellation(
                outcome=outcome, cancelled=(id,) if outcome is CancelOutcome.CANCELLED else ()
            )
        ended: dict[bool, list[str]] = {True: [], False: []}
        nodes = list(nodes_of(id, outline_of(whole)))
        for first in range(0, len(nodes), PAGE):
            for record in await backend.get(nodes[first : first + PAGE]):
                if record is not None and record.state.final:
                    ended[record.state is State.CANCELLED].append(record.id)
        return Cancellation(outcome=outcome, cancelled=tuple(ended[True]), finished=tuple(ended[False]))

    async def warn_if_unserved(self, record: Record) -> bool:
        """Log once that no live worker serves the queue of a record that is due; True if it has been said.

        Of a group that is the first of its workflow's nodes that are due. Raises nothing: a store that is
        away is asked again, a card of another version is skipped.
        """
        if self.store is None:
            return True
        try:
            waiting = await self._waiting(record)
            listed = await self.store.list(CARDS)
        except UnavailableError as exc:
            _log.debug("cannot tell whether a worker serves queue %r: %s", record.queue, exc)
            return False
        served = (card.queues for card in map(_card, listed.values()) if card is not None)
        if waiting is None or any(waiting.queue in queues for queues in served):
            return False
        _log.warning(
            "%s[%s] waits on queue %r and no live worker serves it; start one: aioqueue worker APP -q %s",
            waiting.name,
            waiting.id,
            waiting.queue,
            waiting.queue,
        )
        return True

    async def _waiting(self, record: Record) -> Record | None:
        """Return the record that waits for a worker, if one is due."""
        records: Sequence[Record | None] = [record]
        if not record.queue:
            workflow = record.id.rpartition(".")[0]
            records = await self.required().get([f"{workflow}.{number}" for number in range(PAGE)])
        now = self.clock.time()
        for found in records:
            waits = found is not None and found.queue and found.state is State.PENDING
            if found is not None and waits and found.due is not None and found.due <= now:
                return found
        return None


class AsyncResult(Generic[R_co]):
    """The outcome of a task, or of a workflow. ``await`` it, in the sending process or, by id, in another.

    created: False if its id was known when it was sent, so that nothing was; None where nobody sent.
    record: id of the record that is the outcome, where it is known not to be *id*.
    """

    def __init__(
        self, id: str, results: Results, reading: Reading = Reading(), *, record: str | None = None
    ) -> None:
        self.id = id
        self.created: bool | None = None
        self._record = record or id
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
        until = None if timeout is None else self._results.clock.time() + timeout
        told, queue = False, await self._queue()
        while True:
            left = ROUND if until is None else min(ROUND, until - self._results.clock.time())
            with waiting_for(queue) as wait:
                record = await self._waited(left)
            if record.state.final:
                return cast("R_co", await self._value(record))
            queue = record.queue if record.state is State.PENDING else None
            if wait.stuck and queue is not None:
                raise deadlock(queue)
            if until is not None and self._results.clock.time() >= until:
                raise ResultTimeoutError(f"{record.name}[{self.id}] is {record.state} after {timeout} s")
            told = told or await self._results.warn_if_unserved(record)
            # a clock in a test's hands may let a wait end without one turn of the loop
            await asyncio.sleep(0)

    def known_as(self, record: str) -> None:
        """Say what record is the outcome."""
        self._record = record

    async def state(self) -> TaskState:
        """Return the task's record. Raises ResultNotFoundError, BackendUnavailableError."""
        record = await self._looked(self._got)
        state = task_state(record)
        if record.state is not State.SUCCESS or (join := join_of(record)) is None:
            return state
        return state.model_copy(update={"result": shown(await joined(self._results.required(), join))})

    async def cancel(self) -> Cancellation:
        """End the task, or all of the workflow that has not ended: it reads CANCELLED and commits nothing.

        What runs of it is interrupted; awaiting it raises TaskCancelledError at once. Raises
        BackendUnavailableError, BrokerUnavailableError.
        """
        return await self._results.cancel(self.id)

    async def forget(self) -> None:
        """Drop the record; of a task that still runs, as soon as it ends; of a workflow, that of its outcome.

        Raises ResultNotFoundError, BackendUnavailableError.
        """
        record = await self._looked(self._got)
        await self._results.required().forget([record.id])

    async def _waited(self, timeout: float) -> Record:
        """Return the record once it is final, or as it stands after *timeout* s."""
        return await self._looked(partial(self._results.required().wait, timeout=max(0.0, timeout)))

    async def _queue(self) -> str | None:
        """Return the queue where the task waits, if it is awaited in another task."""
        record = await self._waited(0.0) if waits.get(None) is not None else None
        return record.queue if record is not None and record.state is State.PENDING else None

    async def _got(self, id: str) -> Record | None:
        return (await self._results.required().get([id]))[0]

    async def _looked(self, look: Callable[[str], Awaitable[Record | None]]) -> Record:
        """Return the record that *look* finds; that of a workflow is found through the workflow."""
        record = await look(self._record)
        if record is None and self._record == self.id and is_name(self.id):
            whole = await self._results.required().workflow(self.id)
            self._record = self.id if whole is None else whole.result
            record = None if whole is None else await look(self._record)
        if record is None:
            raise ResultNotFoundError(f"there is no task {self.id!r}: it is unknown, forgotten or expired")
        return record

    async def _value(self, record: Record) -> Any:
        if record.state is State.SUCCESS:
            return await self._success(record)
        error = task_error(record)
        for kind in self._reading.raises:
            if kind.__name__ == error.type and (own := _made(kind, error)) is not None:
                raise own from error
        raise error

    async def _success(self, record: Record) -> Any:
        join = join_of(record)
        if join is not None:
            values = await joined(self._results.required(), join)
            if (error := first_error(values)) is not None:
                raise error
            return self._reading.read(values)
        # a value that was ignored was not kept, and is no value of the task's type
        return None if record.value is None else self._reading.read(codec.decode_value(record.value))


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
        plan=record.plan,
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

"""Server: the composition root; the only room that knows both sending and working.

It holds the tasks, the settings and, while it is open, the stores. One object serves a web
service's lifespan, a script and the worker command alike. It is open in one event loop of one
process: in a forked child, and once that loop is closed, it is as if it had never been opened.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from aioqueue.clock import Clock
from aioqueue.config import load
from aioqueue.dispatch import Dispatcher
from aioqueue.errors import ConfigurationError, SignatureError
from aioqueue.group_result import GroupResult
from aioqueue.letters import DeadLetters
from aioqueue.middleware import Calls, Hooks, Middleware, Sent
from aioqueue.models.origin import Origin
from aioqueue.models.settings import Settings
from aioqueue.models.signature import Link, R_co, Signature
from aioqueue.models.state import Cancellation, RescheduleOutcome
from aioqueue.models.stats import DeadLetter
from aioqueue.models.tree import WorkflowTree
from aioqueue.models.workflow import WRITERS, Group
from aioqueue.packing import checked
from aioqueue.queues import Queue
from aioqueue.results import AsyncResult, Reading
from aioqueue.router import Router
from aioqueue.schedules import Schedules
from aioqueue.schema import ValueSchema
from aioqueue.stores import Stores, stores_of
from aioqueue.task import Task
from aioqueue.tree import tree
from aioqueue.worker import Scheduler, Worker, WorkerOptions

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a Server is open. turn: held while it connects or disconnects."""

    loop: asyncio.AbstractEventLoop
    pid: int
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_gone(self) -> bool:
        """True in a forked child, and once the loop is closed."""
        return self.pid != os.getpid() or self.loop.is_closed()


class Server(Router):
    """Tasks and where they are kept.

    broker, backend: URLs; the backend defaults to the broker's store. Without a broker: AIOQUEUE_*
    variables, the nearest aioqueue.yaml, else a SQLite file beside it or the pyproject.toml.
    config: a YAML file to read instead of the nearest. settings: any field of Settings by name.
    origins: where each of them was said. clock: where an embedded store takes its time from.
    middleware: what is around every send and every run, the first outermost.
    Raises ConfigurationError.
    """

    def __init__(
        self,
        broker: str | None = None,
        *,
        backend: str | None = None,
        config: str | os.PathLike[str] | None = None,
        clock: Clock | None = None,
        middleware: Iterable[Middleware] = (),
        **settings: Any,
    ) -> None:
        super().__init__()
        if broker is not None:
            settings["broker"] = broker
        if backend is not None:
            settings["backend"] = backend
        loaded = load(settings, file=config)
        self.settings: Settings = loaded.settings
        self.origins: Mapping[str, Origin] = loaded.origins
        self.stores: Stores = stores_of(self.settings, clock=clock, origins=self.origins)
        self._hooks = Hooks(middleware)
        self._dispatcher: Dispatcher | None = None
        self._users = 0
        self._place: _Place | None = None
        self._home.outbox = lambda: self

    @classmethod
    def from_config(cls, file: str | os.PathLike[str], **settings: Any) -> Self:
        """Return a Server with the settings of a YAML file; variables, and *settings*, are stronger.

        Raises ConfigurationError.
        """
        return cls(config=file, **settings)

    async def open(self) -> None:
        """Connect. May be called again, also after ``close``; each call wants its own ``close``.

        Where the loop it was opened in is closed, or this is a forked child, it is opened anew.
        Raises BrokerUnavailableError, BackendUnavailableError, ConfigurationError.
        """
        if self._place is None or self._place.is_gone:
            self._users = 0
            # taken before anything is waited for, so that another loop is told
            self._place = _Place(asyncio.get_running_loop(), os.getpid())
        place = self._here(self._place)
        async with place.turn:
            if self._users == 0:
                await self._connect(place)
            self._users += 1

    async def close(self) -> None:
        """Disconnect once all who opened it have closed it; idempotent."""
        if self._place is None:
            return
        if self._place.is_gone:
            self._users, self._place = 0, None
            await self.stores.close()
            return
        place = self._here(self._place)
        async with place.turn:
            self._users = max(0, self._users - 1)
            if self._users == 0:
                self._dispatcher = None
                try:
                    await self.stores.close()
                finally:
                    self._place = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @overload
    async def send(self, call: Group[T], *, concurrency: int = WRITERS) -> GroupResult[T]: ...
    @overload
    async def send(self, call: Signature[R_co], *, concurrency: int = WRITERS) -> AsyncResult[R_co]: ...
    async def send(self, call: Signature[Any], *, concurrency: int = WRITERS) -> AsyncResult[Any]:
        """Send one call, typed or by name, and return its result to await.

        concurrency: of a workflow, most pages of it that are written at a time.
        Raises SignatureError, PayloadTooLargeError, QueueFullError, BrokerUnavailableError.
        """
        if self._hooks.sends:
            return (await self._hooked([call], concurrency))[0]
        return await self._opened().send(_complete(call), concurrency=concurrency)

    async def send_many(self, calls: Iterable[Signature[R_co]]) -> list[AsyncResult[R_co]]:
        """Send calls, all or none, and return their results in order. Raises as ``send``."""
        if self._hooks.sends:
            return list(await self._hooked(calls, WRITERS))
        return await self._opened().send_many([_complete(call) for call in calls])

    @overload
    def result(self, id: str, reading: Reading | None = None) -> AsyncResult[Any]: ...
    @overload
    def result(self, id: str, reading: Reading | None = None, *, returns: type[T]) -> AsyncResult[T]: ...
    def result(self, id: str, reading: Reading | None = None, *, returns: Any = None) -> AsyncResult[Any]:
        """Return the result of a task by its id, from any process. returns: the type it is validated as."""
        if returns is not None:
            reading = Reading(ValueSchema(returns, f"result {id}").load)
        return AsyncResult(id, self.stores.results(), reading or Reading())

    def group_result(self, id: str) -> GroupResult[Any]:
        """Return the results of a group by its id, from any process: raw JSON, in order."""
        return GroupResult(id, self.stores.results())

    async def workflow(self, id: str) -> WorkflowTree:
        """Return a workflow as a tree: its parts, and of each node the state, attempts and times.

        Raises ResultNotFoundError, BackendUnavailableError.
        """
        self._opened()
        return await tree(self.stores.results().required(), id)

    async def cancel(self, id: str) -> Cancellation:
        """Cancel a task, or a workflow, by its id. See ``AsyncResult.cancel``."""
        self._opened()
        return await self.stores.results().cancel(id)

    async def reschedule(
        self, id: str, *, eta: datetime | None = None, delay: float | timedelta | None = None
    ) -> RescheduleOutcome:
        """Give a task that waits another moment, by its id. See ``AsyncResult.reschedule``."""
        self._opened()
        return await self.stores.results().reschedule(id, eta, delay)

    def queue(self, name: str) -> Queue:
        """Return a queue, to pause it, to look into it or to empty it. Raises ConfigurationError."""
        return Queue(name, self._stores)

    @property
    def dead(self) -> DeadLetters:
        """The dead letters: to page through them, to show one, to send it anew or to drop it."""
        return DeadLetters(self._stores, self.settings.max_queue, self.result)

    async def requeue(self, id: str | DeadLetter, *, queue: str | None = None) -> AsyncResult[Any]:
        """Send the call of a dead letter anew, under a new id. See ``DeadLetters.requeue``."""
        return await self.dead.requeue(id, queue=queue)

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        """Return the newest dead letters, newest first. Raises BrokerUnavailableError, ConfigurationError."""
        self._opened()
        return await self.stores.broker.dead_letters(limit=limit)

    def worker(self, **options: Any) -> Worker:
        """Return a worker for this Server's tasks; ``await worker.run()``, or ``async with``.

        options: fields of WorkerOptions, among them queues, concurrency, name, max_tasks.
        Raises ConfigurationError.
        """
        return Worker(self, self, self.stores, WorkerOptions.checked(self.settings, options), self._hooks)

    def add_middleware(self, middleware: Middleware) -> None:
        """Put *middleware* inside of all there are, around what is sent and begun from now on.

        Raises ConfigurationError for what is none.
        """
        self._hooks.add(middleware)

    async def _hooked(self, calls: Iterable[Signature[Any]], concurrency: int) -> Sent:
        """Send calls through the middleware."""
        dispatcher = self._opened()

        async def write(given: Calls) -> Sent:
            return await dispatcher.send_many([_complete(call) for call in given], concurrency=concurrency)

        return await self._hooks.send([_complete(call) for call in calls], write)

    def scheduler(self, **options: Any) -> Scheduler:
        """Return what fires schedules and runs no task; ``await scheduler.run()``. options: as for a worker.

        Raises ConfigurationError.
        """
        return Scheduler(self, self, self.stores, WorkerOptions.checked(self.settings, options))

    @property
    def schedules(self) -> Schedules:
        """The schedules, of code and as data: ``await server.schedules.list()``, ``add``, ``pause``, …"""
        return Schedules(self.stores, self.scheduled, self.send, self._opened)

    def _reading(self, name: str) -> Reading:
        task = self.find(name)
        return task.definition.reading if task is not None else Reading()

    async def _connect(self, place: _Place) -> None:
        # who had the turn before may have left it
        self._place = place
        try:
            await self.stores.open()
        except BaseException:
            self._place = None
            raise
        self._dispatcher = self.stores.dispatcher(self.settings, self._reading)

    def _opened(self) -> Dispatcher:
        if self._dispatcher is None or self._place is None or self._place.is_gone:
            raise ConfigurationError("the server is not open: send within `async with server:`")
        self._here(self._place)
        return self._dispatcher

    def _stores(self) -> Stores:
        self._opened()
        return self.stores

    @staticmethod
    def _here(place: _Place) -> _Place:
        if place.loop is not asyncio.get_running_loop():
            raise ConfigurationError(
                "the server is open in another event loop, of another thread perhaps, and belongs to one "
                "at a time: close it there first, or make a Server for each loop"
            )
        return place


def _complete(call: Signature[R_co] | Link) -> Signature[R_co]:
    if isinstance(call, Link):
        raise ConfigurationError(
            f"{call.signature.name}.p(...) still wants a previous result; make the complete call with .s(...)"
        )
    try:
        return checked(call)
    except AttributeError:
        raise _no_call(call) from None


def _no_call(given: object) -> SignatureError:
    """Return the error of something that was sent and is no call."""
    name = f"{given.name}.s(...)" if isinstance(given, Task) else "task.s(...)"
    return SignatureError(f"{given!r} is no call; make one with {name}, and send many with send_many(...)")

"""Router: a set of tasks under one prefix, included into a Server.

A name is registered once; a second registration is an error, never a silent change. A router
stays part of what includes it: tasks that it gets later are known there too.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar, Unpack, cast, overload

from aioqueue.definition import Definition, NamedTaskOptions, TaskOptions, call_defaults, checked_options
from aioqueue.errors import ConfigurationError, DuplicateTaskError
from aioqueue.ids import RESERVED, is_name
from aioqueue.limits import Limit
from aioqueue.models.schedule import ScheduleOptions, When
from aioqueue.models.signature import Signature
from aioqueue.task import AsyncTask, Home, P, StreamTask, SyncTask, SyncWorkflowTask, Task, WorkflowTask
from aioqueue.ticks import Schedule

R = TypeVar("R")

AnyTask = Task[..., Any]
T = TypeVar("T", bound=AnyTask)


class TaskDecorator(Protocol):
    """What ``task(...)`` with options returns: a decorator that keeps the function's type."""

    # fmt: off
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, Signature[R]]], /) -> WorkflowTask[P, R]: ...  # type: ignore[overload-overlap]  # it is a coroutine function too
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]  # a coroutine function is a function too
    @overload
    def __call__(self, function: Callable[P, AsyncIterator[R]], /) -> StreamTask[P, R]: ...  # type: ignore[overload-overlap]  # it is a function too
    @overload
    def __call__(self, function: Callable[P, Signature[R]], /) -> SyncWorkflowTask[P, R]: ...  # type: ignore[overload-overlap]  # it is a function too
    @overload
    def __call__(self, function: Callable[P, R], /) -> SyncTask[P, R]: ...
    # fmt: on


class PeriodicDecorator(Protocol):
    """What ``periodic(...)`` returns: it keeps a task as it is, and makes one of a function."""

    # fmt: off
    @overload
    def __call__(self, function: T, /) -> T: ...
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, Signature[R]]], /) -> WorkflowTask[P, R]: ...  # type: ignore[overload-overlap]  # it is a coroutine function too
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]  # a coroutine function is a function too
    @overload
    def __call__(self, function: Callable[P, AsyncIterator[R]], /) -> StreamTask[P, R]: ...  # type: ignore[overload-overlap]  # it is a function too
    @overload
    def __call__(self, function: Callable[P, Signature[R]], /) -> SyncWorkflowTask[P, R]: ...  # type: ignore[overload-overlap]  # it is a function too
    @overload
    def __call__(self, function: Callable[P, R], /) -> SyncTask[P, R]: ...
    # fmt: on


class Registry:
    """Tasks by name and the options they have, and schedules. above: one that knows all of these too."""

    def __init__(self) -> None:
        self.tasks: dict[str, AnyTask] = {}
        self.schedules: dict[str, Schedule] = {}
        self.options: dict[str, TaskOptions] = {}
        self.limits: dict[str, Limit] = {}
        self.above: Registry | None = None

    def upwards(self) -> Iterator[Registry]:
        """Return this one, the one above, the one above that."""
        registry: Registry | None = self
        while registry is not None:
            yield registry
            registry = registry.above

    def refuse_known(self, names: Iterable[str]) -> None:
        """Raise DuplicateTaskError if one of *names* is taken, here or above."""
        for registry in self.upwards():
            for name in names:
                if name in registry.tasks:
                    first: Any = registry.tasks[name].definition.function
                    raise DuplicateTaskError(
                        f"there is a task {name!r} already: {first.__module__}.{first.__qualname__}; "
                        "give this one a name="
                    )

    def refuse_scheduled(self, names: Iterable[str]) -> None:
        """Raise ConfigurationError if there is a schedule of one of *names*, here or above."""
        for registry in self.upwards():
            for name in names:
                if name in registry.schedules:
                    raise ConfigurationError(
                        f"there is a schedule {name!r} already; give this one another name"
                    )

    def plan(self, schedule: Schedule) -> None:
        """Add *schedule*, here and above."""
        for registry in self.upwards():
            registry.schedules[schedule.name] = schedule

    def keep(self, task: AnyTask, options: TaskOptions) -> None:
        """Add *task*, here and above."""
        for registry in self.upwards():
            registry.tasks[task.name] = task
            registry.options[task.name] = options
            if task.definition.limit is not None:
                registry.limits[task.name] = task.definition.limit


class Router:
    """A set of tasks. prefix: put before the names of all that is registered here."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self._registry = Registry()
        self._home = Home()

    # fmt: off
    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, Signature[R]]], /) -> WorkflowTask[P, R]: ...  # type: ignore[overload-overlap]  # it is a coroutine function too
    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]  # a coroutine function is a function too
    @overload
    def task(self, function: Callable[P, AsyncIterator[R]], /) -> StreamTask[P, R]: ...  # type: ignore[overload-overlap]  # it is a function too
    @overload
    def task(self, function: Callable[P, Signature[R]], /) -> SyncWorkflowTask[P, R]: ...  # type: ignore[overload-overlap]  # it is a function too
    @overload
    def task(self, function: Callable[P, R], /) -> SyncTask[P, R]: ...
    @overload
    def task(self, **options: Unpack[NamedTaskOptions]) -> TaskDecorator: ...
    # fmt: on
    def task(self, *functions: Any, **options: Any) -> Any:
        """Register the function below: ``@server.task`` or ``@server.task(queue=…, retry=…)``.

        Raises DuplicateTaskError, ConfigurationError.
        """
        name = options.pop("name", None)

        def register(function: Callable[..., Any]) -> AnyTask:
            return self._register(function, name, cast(TaskOptions, options))

        return register(*functions) if functions else register

    def register_task(
        self, name: str, function: Callable[..., Any], **options: Unpack[TaskOptions]
    ) -> AnyTask:
        """Register *function* under *name*. Raises DuplicateTaskError, ConfigurationError."""
        return self._register(function, name, options)

    def register_tasks(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        """Register several functions by their names."""
        for name, function in functions.items():
            self.register_task(name, function)

    def periodic(self, when: When, /, **options: Unpack[ScheduleOptions]) -> PeriodicDecorator:
        """Send the task below, without arguments, at each slot of *when*; the schedule has its name.

        when: a cron line, ``@daily`` and the like, seconds or a timedelta. It stands above
        ``@server.task(…)``, or makes a task of a function itself. Raises ConfigurationError.
        """

        def plan(function: Callable[..., Any]) -> AnyTask:
            known = isinstance(function, Task)
            task = cast(AnyTask, function) if known else self._register(function, None, {})
            self.schedule(task.name, when, task, **options)
            return task

        return cast(PeriodicDecorator, plan)

    def schedule(
        self,
        name: str,
        when: When,
        call: Signature[Any] | AnyTask,
        **options: Unpack[ScheduleOptions],
    ) -> None:
        """Send *call*, a call, a workflow, or a task without arguments, at each slot of *when*.

        when: as in ``periodic``, or an aware datetime, the only slot. Raises ConfigurationError.
        """
        self._registry.refuse_scheduled([name])
        self._registry.plan(Schedule.of(name, when, call, options))

    @property
    def scheduled(self) -> Mapping[str, Schedule]:
        """The schedules that are declared, by name."""
        return self._registry.schedules

    def include(self, router: Router) -> None:
        """Take in every task and schedule of *router*, also those it gets later; a router is included once.

        Raises DuplicateTaskError and ConfigurationError, and takes in none then.
        """
        if router._registry in self._registry.upwards():
            raise ConfigurationError("a router cannot include itself")
        if router._home.outbox is not None:
            raise ConfigurationError(
                f"the router with the prefix {router.prefix!r} belongs to a server or router already, and "
                "its tasks are sent through one only; make another Router, or include it nowhere else"
            )
        self._registry.refuse_known(router._registry.tasks)
        self._registry.refuse_scheduled(router.scheduled)
        for task in router:
            self._registry.keep(task, router.registered(task.name))
        for schedule in router.scheduled.values():
            self._registry.plan(schedule)
        router._registry.above = self._registry
        router._home.outbox = lambda: self._home.opened(router.prefix or "a task")

    def find(self, name: str) -> AnyTask | None:
        """Return the task of that name, or None."""
        return self._registry.tasks.get(name)

    def registered(self, name: str) -> TaskOptions:
        """Return the options a task was registered with; durations are float seconds."""
        return self._registry.options[name]

    @property
    def limited(self) -> Mapping[str, Limit]:
        """The limits of tasks that have any, by name; also of those that are registered later."""
        return self._registry.limits

    def __iter__(self) -> Iterator[AnyTask]:
        return iter(self._registry.tasks.values())

    def _register(self, function: Callable[..., Any], own: str | None, options: TaskOptions) -> AnyTask:
        _check_function(function, own)
        name = self.prefix + (own or str(getattr(function, "__name__", "")))
        if not is_name(name):
            raise ConfigurationError(
                f"{name!r} cannot name a task; give one with name=, of 1-128 of A-Za-z0-9._:/@-"
            )
        if name.startswith(RESERVED):
            raise ConfigurationError(
                f"{name!r} cannot name a task: {RESERVED}* is reserved; give another name="
            )
        options = checked_options(name, options)
        definition = Definition(function, name, options)
        kind: type[AnyTask] = AsyncTask if definition.is_async else SyncTask
        kind = StreamTask if definition.streams else kind
        task = kind(definition, self._home, call_defaults(options))
        self._registry.refuse_known([name])
        self._registry.keep(task, options)
        return task


def _check_function(function: Any, own: str | None) -> None:
    kind = type(function).__name__
    if not callable(function):
        raise ConfigurationError(f"a task is a function, not {kind}; options go by name")
    label = repr(own or str(getattr(function, "__name__", kind)))
    if isinstance(function, Task):
        raise ConfigurationError(
            f"task {label}: it is a task already; register its function, or include its router"
        )
    if isinstance(function, type):
        raise ConfigurationError(f"task {label}: a task is a function, not a class; write one that makes it")
    # from Python 3.14 on a partial looks like a method
    if isinstance(function, partial) or not (inspect.isroutine(function) or hasattr(function, "__wrapped__")):
        raise ConfigurationError(
            f"task {label}: a task is a function, not an object of {kind}; write one with def that calls it"
        )
    if inspect.isgeneratorfunction(function):
        raise ConfigurationError(
            f"{function.__qualname__}() is a generator; write it with async def, and its values are a stream"
        )

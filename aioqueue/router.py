"""Router: a set of tasks under one prefix, included into a Server.

A name is registered once; a second registration is an error, never a silent change.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, Protocol, TypeVar, Unpack, cast, overload

from aioqueue.errors import ConfigurationError, DuplicateTaskError
from aioqueue.ids import is_name
from aioqueue.models.retry import RetryPolicy
from aioqueue.task import (
    AsyncTask,
    Definition,
    Home,
    NamedTaskOptions,
    P,
    SyncTask,
    Task,
    TaskOptions,
    call_defaults,
)

R = TypeVar("R")

AnyTask = Task[..., Any]


class TaskDecorator(Protocol):
    """What ``task(...)`` with options returns: a decorator that keeps the function's type."""

    # fmt: off
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]  # a coroutine function is a function too
    @overload
    def __call__(self, function: Callable[P, R], /) -> SyncTask[P, R]: ...
    # fmt: on


class Router:
    """A registry of tasks. prefix: put before the names of all that is registered here."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self._tasks: dict[str, AnyTask] = {}
        self._settings: dict[str, TaskOptions] = {}
        self._home = Home()

    # fmt: off
    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]  # a coroutine function is a function too
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

    def include(self, router: Router) -> None:
        """Take in every task of *router*. Raises DuplicateTaskError."""
        for name, task in router._tasks.items():
            self._add(name, task, router._settings[name])
        router._home.outbox = lambda: self._home.opened(router.prefix or "a task")

    def find(self, name: str) -> AnyTask | None:
        """Return the task of that name, or None."""
        return self._tasks.get(name)

    def registered(self, name: str) -> TaskOptions:
        """Return the options a task was registered with."""
        return self._settings[name]

    def __iter__(self) -> Iterator[AnyTask]:
        return iter(self._tasks.values())

    def _register(self, function: Callable[..., Any], own: str | None, options: TaskOptions) -> AnyTask:
        if not callable(function):
            raise ConfigurationError(
                f"a task is a function, not {type(function).__name__}; options go by name"
            )
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise ConfigurationError(f"{function.__qualname__}() is a generator; a task returns one value")
        name = self.prefix + (own or str(getattr(function, "__name__", "")))
        if not is_name(name):
            raise ConfigurationError(
                f"{name!r} cannot name a task; give one with name=, of 1-128 of A-Za-z0-9._:/@-"
            )
        if unknown := options.keys() - TaskOptions.__annotations__.keys():
            known = ", ".join(TaskOptions.__annotations__)
            raise ConfigurationError(f"task {name!r}: there is no option {min(unknown)!r}; there are {known}")
        retry: Any = options.get("retry")
        if not isinstance(retry, RetryPolicy | None):
            raise ConfigurationError(
                f"task {name!r}: retry must be a RetryPolicy, not {type(retry).__name__}"
            )
        definition = Definition(function, name, options)
        kind: type[AnyTask] = AsyncTask if definition.is_async else SyncTask
        task = kind(definition, self._home, call_defaults(options))
        self._add(name, task, options)
        return task

    def _add(self, name: str, task: AnyTask, options: TaskOptions) -> None:
        if name in self._tasks:
            first: Any = self._tasks[name].definition.function
            raise DuplicateTaskError(
                f"there is a task {name!r} already: {first.__module__}.{first.__qualname__}; "
                "give this one a name="
            )
        self._tasks[name] = task
        self._settings[name] = options

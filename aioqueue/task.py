"""Task: a registered function that can be called here, sent away, or written down as a call.

Types follow the function: what ``send`` and ``.s`` take is what it takes, and what is awaited is
what it returns. ``.p`` leaves the last positional parameter for the previous result; overloads
by arity are what both type checkers understand.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Iterable
from datetime import timedelta
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    Self,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, ValidationError

from aioqueue.errors import ConfigurationError
from aioqueue.models.retry import RetryPolicy
from aioqueue.models.signature import CallOptions, Link, R_co, Signature, Way
from aioqueue.models.types import Name, Priority, Seconds
from aioqueue.models.workflow import Group
from aioqueue.results import AsyncResult, Reading
from aioqueue.schema import CallSchema

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")
T5 = TypeVar("T5")
T6 = TypeVar("T6")
T7 = TypeVar("T7")
T8 = TypeVar("T8")

Executor = Literal["loop", "thread", "process"]


class TaskOptions(TypedDict, total=False):
    """What a task can be registered with.

    executor: where a sync function runs. raises: exceptions, or one, that a waiter gets back as
    themselves. The rest are the defaults of its calls.
    """

    executor: Executor
    raises: tuple[type[Exception], ...] | type[Exception]
    queue: str
    priority: int
    timeout: float | timedelta
    retry: RetryPolicy
    result_ttl: float | timedelta
    ignore_result: bool


class NamedTaskOptions(TaskOptions, total=False):
    """The same for the decorator. name: what it is sent by; the function's own name by default."""

    name: str


def _listed(value: object) -> object:
    return (cast(object, value),) if isinstance(value, type) else value


class _Options(BaseModel):
    """TaskOptions as they are checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    executor: Executor = "thread"
    raises: Annotated[tuple[type[Exception], ...], BeforeValidator(_listed)] = ()
    queue: Name = ""
    priority: Priority = 0
    timeout: Seconds = 0.0
    retry: InstanceOf[RetryPolicy] | None = None
    result_ttl: Seconds = 0.0
    ignore_result: Annotated[bool, Field(strict=True)] = False


def checked_options(name: str, options: TaskOptions) -> TaskOptions:
    """Return the options that are given, converted: durations are float seconds, *raises* is a tuple.

    None is the same as not given. Raises ConfigurationError naming the task and the option.
    """
    if unknown := options.keys() - _Options.model_fields.keys():
        known = ", ".join(_Options.model_fields)
        raise ConfigurationError(f"task {name!r}: there is no option {min(unknown)!r}; there are {known}")
    try:
        made = _Options.model_validate({key: value for key, value in options.items() if value is not None})
    except ValidationError as exc:
        error = exc.errors(include_url=False)[0]
        raise ConfigurationError(
            f"task {name!r}: option {error['loc'][0]!r}: {error['msg']} (got {error['input']!r})"
        ) from None
    return cast(TaskOptions, {key: getattr(made, key) for key in options if key in made.model_fields_set})


class Outbox(Protocol):
    """Where tasks send through: a Server that is open."""

    async def send(self, call: Signature[R_co]) -> AsyncResult[R_co]: ...

    def result(self, id: str, reading: Reading) -> AsyncResult: ...


class Home:
    """The place a task was registered at; its outbox is known once that belongs to a Server."""

    def __init__(self) -> None:
        self.outbox: Callable[[], Outbox] | None = None

    def opened(self, name: str) -> Outbox:
        """Return the outbox. Raises ConfigurationError naming the task that has none."""
        if self.outbox is None:
            raise ConfigurationError(
                f"task {name!r} is on a router that no server includes: server.include(router)"
            )
        return self.outbox()


class Definition:
    """What is known of a task whatever options a copy carries. options: as ``checked_options`` returns."""

    def __init__(self, function: Callable[..., Any], name: str, options: TaskOptions) -> None:
        self.function = function
        self.name = name
        self.is_async = inspect.iscoroutinefunction(function)
        self.executor: Executor = options.get("executor", "loop" if self.is_async else "thread")
        self.raises = cast("tuple[type[Exception], ...]", options.get("raises", ()))
        self.retry = options.get("retry")
        if self.is_async and self.executor != "loop":
            raise ConfigurationError(
                f"task {name!r} is async and runs on the loop; executor is for sync functions"
            )
        if not self.is_async and self.executor == "loop":
            raise ConfigurationError(
                f"task {name!r} is sync: on the loop it would block it; use 'thread' or 'process'"
            )

    @functools.cached_property
    def schema(self) -> CallSchema:
        """How arguments and result become data; made when first needed, as annotations may look ahead."""
        return CallSchema(self.function, self.name)

    @functools.cached_property
    def reading(self) -> Reading:
        """How a waiter reads the result."""
        return Reading(self.schema.result.load, self.raises)


class Task(Generic[P, R_co]):
    """A registered function. Made by ``@server.task``; async or sync as the function is."""

    def __init__(self, definition: Definition, home: Home, options: CallOptions) -> None:
        functools.update_wrapper(cast(Any, self), definition.function)
        self.definition = definition
        self.defaults = _with_policy(options, definition.retry)
        self._home = home

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    @property
    def name(self) -> str:
        """What it is sent by."""
        return self.definition.name

    def options(self, **options: Unpack[CallOptions]) -> Self:
        """Return a copy whose calls carry these options. Raises SignatureError for a bad one."""
        merged: CallOptions = {**self.defaults, **options}
        Signature.checked({"name": self.name, **merged})
        return type(self)(self.definition, self._home, merged)

    def s(self, *args: P.args, **kwargs: P.kwargs) -> Signature[R_co]:
        """Return the complete call. Raises SignatureError naming the argument that does not fit."""
        positional, named = self.definition.schema.dump(args, kwargs)
        call: Signature[R_co] = Signature.checked(
            {"name": self.name, **self.defaults, "args": positional, "kwargs": named, "takes": "none"}
        )
        return call.by(Way(self._home.opened))

    async def send(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R_co]:
        """Send a call and return its result to await, as soon as the store has accepted it.

        Raises SignatureError, PayloadTooLargeError, QueueFullError, BrokerUnavailableError.
        """
        return await self._home.opened(self.name).send(self.s(*args, **kwargs))

    def starmap(self, items: Iterable[tuple[Any, ...]], /) -> Group[R_co]:
        """Return the group that calls it with each of *items*, which are its positional arguments."""
        return Group.checked({"members": [cast(Any, self).s(*item) for item in items]})

    def result(self, id: str) -> AsyncResult[R_co]:
        """Return the result of a call that was sent under *id*, perhaps by another process."""
        return self._home.opened(self.name).result(id, self.definition.reading)

    def _partial(self, args: tuple[Any, ...]) -> Link[Any, Any]:
        fixed = self.definition.schema.dump_leading(args)
        signature = Signature.checked({"name": self.name, **self.defaults, "args": fixed, "takes": "last"})
        return Link(signature=signature.by(Way(self._home.opened)))


class AsyncTask(Task[P, R_co]):
    """A task made of an ``async def``."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Call the function here, as if it were no task."""
        call: Coroutine[Any, Any, R_co] = self.definition.function(*args, **kwargs)
        return call

    # fmt: off
    @overload
    def p(self: Callable[[A], Coroutine[Any, Any, R]], /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, A], Coroutine[Any, Any, R]], a1: T1, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, A], Coroutine[Any, Any, R]], a1: T1, a2: T2, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, A], Coroutine[Any, Any, R]], a1: T1, a2: T2, a3: T3, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, A], Coroutine[Any, Any, R]], a1: T1, a2: T2, a3: T3, a4: T4, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, T5, A], Coroutine[Any, Any, R]], a1: T1, a2: T2, a3: T3, a4: T4, a5: T5, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, T5, T6, A], Coroutine[Any, Any, R]], a1: T1, a2: T2, a3: T3, a4: T4, a5: T5, a6: T6, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, T5, T6, T7, A], Coroutine[Any, Any, R]], a1: T1, a2: T2, a3: T3, a4: T4, a5: T5, a6: T6, a7: T7, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, T5, T6, T7, T8, A], Coroutine[Any, Any, R]], a1: T1, a2: T2, a3: T3, a4: T4, a5: T5, a6: T6, a7: T7, a8: T8, /) -> Link[A, R]: ...
    # fmt: on
    def p(self, *args: Any) -> Link[Any, Any]:
        """Return the call with its leading arguments; the previous result becomes its last one."""
        return self._partial(args)

    def map(self: Callable[[A], Coroutine[Any, Any, R]], items: Iterable[A], /) -> Group[R]:  # pyright: ignore[reportGeneralTypeIssues]  # a task is such a callable
        """Return the group that calls it with each of *items*. Raises SignatureError."""
        return _mapped(self, items)


class SyncTask(Task[P, R_co]):
    """A task made of a ``def``: it runs in a thread, or in a process."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function here, as if it were no task."""
        value: R_co = self.definition.function(*args, **kwargs)
        return value

    # fmt: off
    @overload
    def p(self: Callable[[A], R], /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, A], R], a1: T1, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, A], R], a1: T1, a2: T2, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, A], R], a1: T1, a2: T2, a3: T3, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, A], R], a1: T1, a2: T2, a3: T3, a4: T4, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, T5, A], R], a1: T1, a2: T2, a3: T3, a4: T4, a5: T5, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, T5, T6, A], R], a1: T1, a2: T2, a3: T3, a4: T4, a5: T5, a6: T6, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, T5, T6, T7, A], R], a1: T1, a2: T2, a3: T3, a4: T4, a5: T5, a6: T6, a7: T7, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, T5, T6, T7, T8, A], R], a1: T1, a2: T2, a3: T3, a4: T4, a5: T5, a6: T6, a7: T7, a8: T8, /) -> Link[A, R]: ...
    # fmt: on
    def p(self, *args: Any) -> Link[Any, Any]:
        """Return the call with its leading arguments; the previous result becomes its last one."""
        return self._partial(args)

    def map(self: Callable[[A], R], items: Iterable[A], /) -> Group[R]:  # pyright: ignore[reportGeneralTypeIssues]  # a task is such a callable
        """Return the group that calls it with each of *items*. Raises SignatureError."""
        return _mapped(self, items)


class WorkflowTask(Task[P, R_co]):
    """The type of an async task that returns a call or a workflow: its result is that one's."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, Signature[R_co]]:
        """Call the function here, as if it were no task."""
        call: Coroutine[Any, Any, Signature[R_co]] = self.definition.function(*args, **kwargs)
        return call

    # fmt: off
    @overload
    def p(self: Callable[[A], Coroutine[Any, Any, Signature[R]]], /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, A], Coroutine[Any, Any, Signature[R]]], a1: T1, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, A], Coroutine[Any, Any, Signature[R]]], a1: T1, a2: T2, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, A], Coroutine[Any, Any, Signature[R]]], a1: T1, a2: T2, a3: T3, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, A], Coroutine[Any, Any, Signature[R]]], a1: T1, a2: T2, a3: T3, a4: T4, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, T5, A], Coroutine[Any, Any, Signature[R]]], a1: T1, a2: T2, a3: T3, a4: T4, a5: T5, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, T5, T6, A], Coroutine[Any, Any, Signature[R]]], a1: T1, a2: T2, a3: T3, a4: T4, a5: T5, a6: T6, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, T5, T6, T7, A], Coroutine[Any, Any, Signature[R]]], a1: T1, a2: T2, a3: T3, a4: T4, a5: T5, a6: T6, a7: T7, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, T5, T6, T7, T8, A], Coroutine[Any, Any, Signature[R]]], a1: T1, a2: T2, a3: T3, a4: T4, a5: T5, a6: T6, a7: T7, a8: T8, /) -> Link[A, R]: ...
    # fmt: on
    def p(self, *args: Any) -> Link[Any, Any]:
        """Return the call with its leading arguments; the previous result becomes its last one."""
        return self._partial(args)

    def map(self: Callable[[A], Coroutine[Any, Any, Signature[R]]], items: Iterable[A], /) -> Group[R]:  # pyright: ignore[reportGeneralTypeIssues]  # a task is such a callable
        """Return the group that calls it with each of *items*. Raises SignatureError."""
        return _mapped(self, items)


class SyncWorkflowTask(Task[P, R_co]):
    """The type of a sync task that returns a call or a workflow: its result is that one's."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Signature[R_co]:
        """Call the function here, as if it were no task."""
        call: Signature[R_co] = self.definition.function(*args, **kwargs)
        return call

    # fmt: off
    @overload
    def p(self: Callable[[A], Signature[R]], /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, A], Signature[R]], a1: T1, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, A], Signature[R]], a1: T1, a2: T2, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, A], Signature[R]], a1: T1, a2: T2, a3: T3, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, A], Signature[R]], a1: T1, a2: T2, a3: T3, a4: T4, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, T5, A], Signature[R]], a1: T1, a2: T2, a3: T3, a4: T4, a5: T5, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, T5, T6, A], Signature[R]], a1: T1, a2: T2, a3: T3, a4: T4, a5: T5, a6: T6, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, T5, T6, T7, A], Signature[R]], a1: T1, a2: T2, a3: T3, a4: T4, a5: T5, a6: T6, a7: T7, /) -> Link[A, R]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, T5, T6, T7, T8, A], Signature[R]], a1: T1, a2: T2, a3: T3, a4: T4, a5: T5, a6: T6, a7: T7, a8: T8, /) -> Link[A, R]: ...
    # fmt: on
    def p(self, *args: Any) -> Link[Any, Any]:
        """Return the call with its leading arguments; the previous result becomes its last one."""
        return self._partial(args)

    def map(self: Callable[[A], Signature[R]], items: Iterable[A], /) -> Group[R]:  # pyright: ignore[reportGeneralTypeIssues]  # a task is such a callable
        """Return the group that calls it with each of *items*. Raises SignatureError."""
        return _mapped(self, items)


def _mapped(task: Any, items: Iterable[object]) -> Group[Any]:
    return Group.checked({"members": [task.s(item) for item in items]})


def call_defaults(options: TaskOptions) -> CallOptions:
    """Return the options that the calls of a task carry by themselves.

    Where a call is to run is the sender's to say; how it is run (timeout, retry, the time its
    result is kept) is read from the worker's own registration, whose code may be newer. One
    exception: a task that ignores its result and has a retry policy carries the policy too, as
    the sender has to know that its attempts need a record.
    """
    defaults: CallOptions = {}
    if "queue" in options:
        defaults["queue"] = options["queue"]
    if "priority" in options:
        defaults["priority"] = options["priority"]
    if options.get("ignore_result"):
        defaults["ignore_result"] = True
    return defaults


def _with_policy(options: CallOptions, retry: RetryPolicy | None) -> CallOptions:
    if retry is None or not options.get("ignore_result") or options.get("retry") is not None:
        return options
    return {**options, "retry": retry}

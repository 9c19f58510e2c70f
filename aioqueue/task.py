"""Task: a registered function that can be called here, sent away, or written down as a call.

Types follow the function: what ``send`` and ``.s`` take is what it takes, and what is awaited is
what it returns. ``.p`` leaves the last positional parameter for the previous result; overloads
by arity are what both type checkers understand.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from itertools import islice
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, Unpack, cast, overload

from aioqueue.definition import Definition
from aioqueue.errors import ConfigurationError, SignatureError
from aioqueue.models.retry import RetryPolicy
from aioqueue.models.signature import CallOptions, Link, R_co, Signature, Way
from aioqueue.models.workflow import Group
from aioqueue.results import AsyncResult, Reading
from aioqueue.stream_result import StreamResult
from aioqueue.uniqueness import is_unique

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


class Task(Generic[P, R_co]):
    """A registered function. Made by ``@server.task``; async or sync as the function is."""

    def __init__(self, definition: Definition, home: Home, options: CallOptions) -> None:
        functools.update_wrapper(cast(Any, self), definition.function)
        self.definition = definition
        self.defaults: CallOptions = _with_policy(options, definition.retry)
        self._home = home

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    @property
    def name(self) -> str:
        """What it is sent by."""
        return self.definition.name

    @property
    def way(self) -> Way:
        """How its calls are sent."""
        return Way(self._home.opened)

    def options(self, **options: Unpack[CallOptions[R_co]]) -> Self:
        """Return a copy whose calls carry these options. Raises SignatureError for a bad one."""
        # neither checker sees that both are such options
        merged = cast("CallOptions", {**self.defaults, **options})
        Signature.checked({"name": self.name, **merged})
        return type(self)(self.definition, self._home, merged)

    def s(self, *args: P.args, **kwargs: P.kwargs) -> Signature[R_co]:
        """Return the complete call. Raises SignatureError naming the argument that does not fit."""
        # what it is of the same for all its calls is validated once, the arguments by their own types
        call = self._call.with_arguments(*self.definition.schema.dump(args, kwargs))
        return self._keyed(call, args, kwargs) if self._is_unique else call

    @functools.cached_property
    def _call(self) -> Signature[R_co]:
        call: Signature[R_co] = Signature.checked(
            {"name": self.name, "args": (), "kwargs": {}, **self.defaults, "takes": "none"}
        )
        return call.by(self.way)

    @functools.cached_property
    def _is_unique(self) -> bool:
        return is_unique(self._call)

    def _keyed(self, call: Signature[R_co], args: Any, kwargs: Any) -> Signature[R_co]:
        """Return a unique call with the key that its arguments come to."""
        keys, key = self.definition.keys, self.defaults.get("unique_key") or self.definition.unique_key
        made = keys.digest(call.args, call.kwargs) if key is None else keys.made(key, args, kwargs)
        return call.model_copy(update={"unique_key": made})

    async def send(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R_co]:
        """Send a call and return its result to await, as soon as the store has accepted it.

        Raises SignatureError, PayloadTooLargeError, QueueFullError, BrokerUnavailableError.
        """
        return await self._home.opened(self.name).send(self.s(*args, **kwargs))

    def starmap(self, items: Iterable[tuple[Any, ...]], /) -> Group[R_co]:
        """Return the group that calls it with each of *items*, which are its positional arguments."""
        return _group(self, (cast(Any, self).s(*item) for item in items))

    def result(self, id: str) -> AsyncResult[R_co]:
        """Return the result of a call that was sent under *id*, perhaps by another process."""
        return self._home.opened(self.name).result(id, self.definition.reading)

    def _partial(self, args: tuple[Any, ...]) -> Link[Any, Any]:
        fixed = self.definition.schema.dump_leading(args)
        signature = Signature.checked({"name": self.name, **self.defaults, "args": fixed, "takes": "last"})
        return Link(signature=signature.by(self.way))


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

    def chunks(  # type: ignore[misc]  # a task is such a callable
        self: Callable[[list[A]], Coroutine[Any, Any, R]],  # pyright: ignore[reportGeneralTypeIssues]  # the same
        items: Iterable[A],
        /,
        size: int,
    ) -> Group[R]:
        """Return the group that calls it with *items*, lists of at most *size* of them. Raises SignatureError."""
        return _mapped(self, _slices(items, size))


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

    def chunks(  # type: ignore[misc]  # a task is such a callable
        self: Callable[[list[A]], R],  # pyright: ignore[reportGeneralTypeIssues]  # the same
        items: Iterable[A],
        /,
        size: int,
    ) -> Group[R]:
        """Return the group that calls it with *items*, lists of at most *size* of them. Raises SignatureError."""
        return _mapped(self, _slices(items, size))


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

    def chunks(  # type: ignore[misc]  # a task is such a callable
        self: Callable[[list[A]], Coroutine[Any, Any, Signature[R]]],  # pyright: ignore[reportGeneralTypeIssues]  # the same
        items: Iterable[A],
        /,
        size: int,
    ) -> Group[R]:
        """Return the group that calls it with *items*, lists of at most *size* of them. Raises SignatureError."""
        return _mapped(self, _slices(items, size))


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

    def chunks(  # type: ignore[misc]  # a task is such a callable
        self: Callable[[list[A]], Signature[R]],  # pyright: ignore[reportGeneralTypeIssues]  # the same
        items: Iterable[A],
        /,
        size: int,
    ) -> Group[R]:
        """Return the group that calls it with *items*, lists of at most *size* of them. Raises SignatureError."""
        return _mapped(self, _slices(items, size))


class StreamTask(Task[P, int], Generic[P, R_co]):
    """A task made of an async generator: its values are told as it goes on, its result is their count."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[R_co]:
        """Call the function here, as if it were no task."""
        values: AsyncIterator[R_co] = self.definition.function(*args, **kwargs)
        return values

    async def send(self, *args: P.args, **kwargs: P.kwargs) -> StreamResult[R_co]:
        """Send a call and return its result, to await or to follow. Raises as ``Task.send``."""
        return StreamResult(await super().send(*args, **kwargs))

    def result(self, id: str) -> StreamResult[R_co]:
        """Return the result of a call that was sent under *id*, perhaps by another process."""
        return StreamResult(super().result(id))

    # fmt: off
    @overload
    def p(self: Callable[[A], AsyncIterator[R]], /) -> Link[A, int]: ...
    @overload
    def p(self: Callable[[T1, A], AsyncIterator[R]], a1: T1, /) -> Link[A, int]: ...
    @overload
    def p(self: Callable[[T1, T2, A], AsyncIterator[R]], a1: T1, a2: T2, /) -> Link[A, int]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, A], AsyncIterator[R]], a1: T1, a2: T2, a3: T3, /) -> Link[A, int]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, A], AsyncIterator[R]], a1: T1, a2: T2, a3: T3, a4: T4, /) -> Link[A, int]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, T5, A], AsyncIterator[R]], a1: T1, a2: T2, a3: T3, a4: T4, a5: T5, /) -> Link[A, int]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, T5, T6, A], AsyncIterator[R]], a1: T1, a2: T2, a3: T3, a4: T4, a5: T5, a6: T6, /) -> Link[A, int]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, T5, T6, T7, A], AsyncIterator[R]], a1: T1, a2: T2, a3: T3, a4: T4, a5: T5, a6: T6, a7: T7, /) -> Link[A, int]: ...
    @overload
    def p(self: Callable[[T1, T2, T3, T4, T5, T6, T7, T8, A], AsyncIterator[R]], a1: T1, a2: T2, a3: T3, a4: T4, a5: T5, a6: T6, a7: T7, a8: T8, /) -> Link[A, int]: ...
    # fmt: on
    def p(self, *args: Any) -> Link[Any, Any]:
        """Return the call with its leading arguments; the previous result becomes its last one."""
        return self._partial(args)

    def map(self: Callable[[A], AsyncIterator[R]], items: Iterable[A], /) -> Group[int]:  # pyright: ignore[reportGeneralTypeIssues]  # a task is such a callable
        """Return the group that calls it with each of *items*. Raises SignatureError."""
        return _mapped(self, items)

    def chunks(  # type: ignore[misc]  # a task is such a callable
        self: Callable[[list[A]], AsyncIterator[R]],  # pyright: ignore[reportGeneralTypeIssues]  # the same
        items: Iterable[A],
        /,
        size: int,
    ) -> Group[int]:
        """Return the group that calls it with *items*, lists of at most *size* of them. Raises SignatureError."""
        return _mapped(self, _slices(items, size))


def _mapped(task: Any, items: Iterable[object]) -> Group[Any]:
    return _group(task, (task.s(item) for item in items))


def _group(task: Task[..., Any], calls: Iterable[Signature[R]]) -> Group[R]:
    """Return the group of *calls* of a task, which can be sent though it be empty."""
    made: Group[R] = Group.checked({"members": list(calls)})
    return made.by(task.way)


def _slices(items: Iterable[A], size: int) -> Iterator[list[A]]:
    if size < 1:
        raise SignatureError(f"chunks: size is {size}; a call takes at least one item")
    left = iter(items)
    while part := list(islice(left, size)):
        yield part


def _with_policy(options: CallOptions, retry: RetryPolicy | None) -> CallOptions:
    if retry is None or not options.get("ignore_result") or options.get("retry") is not None:
        return options
    # what cannot be sent of it the worker has in its registration
    return {**options, "retry": retry.sendable()}

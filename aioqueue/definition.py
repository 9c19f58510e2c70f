"""Definition: what is known of a registered function, and the options it was registered with."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import aclosing
from datetime import timedelta
from typing import Annotated, Any, Literal, TypedDict, cast, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, ValidationError

from aioqueue.context import reaching
from aioqueue.errors import ConfigurationError
from aioqueue.limits import Limit
from aioqueue.models.rate import Rate
from aioqueue.models.retry import RetryPolicy
from aioqueue.models.signature import CallOptions, OnConflict, UniqueUntil
from aioqueue.models.types import Name, Priority, Seconds
from aioqueue.results import Reading
from aioqueue.schema import CallSchema, require_tuple
from aioqueue.uniqueness import KeyOf, Keys

Executor = Literal["loop", "thread", "process"]
Acks = Literal["early", "late"]


class TaskOptions(TypedDict, total=False):
    """What a task can be registered with.

    executor: where a sync function runs. raises: exceptions, or one, that a waiter gets back as
    themselves. spread: it returns a tuple, each of whose values is an argument of its own to what comes
    after it. acks: early, it is never run again once it has begun, at most once; late, the default, at least
    once. unique_key: a text with the names of parameters in braces, or a function of a call's arguments.
    rate_limit: how often it may start, over all workers, as ``"100/s"``, or several. max_running:
    how many of it may run at once, over all workers. limit_by: a parameter of it, each value of which is
    limited by itself. The rest are the defaults of its calls.
    """

    executor: Executor
    raises: tuple[type[Exception], ...] | type[Exception]
    spread: bool
    acks: Acks
    rate_limit: str | tuple[str, ...]
    max_running: int
    limit_by: str
    queue: str
    priority: int
    timeout: float | timedelta
    retry: RetryPolicy
    result_ttl: float | timedelta
    ignore_result: bool
    unique: UniqueUntil
    unique_key: KeyOf
    unique_for: float | timedelta
    on_conflict: OnConflict
    debounce: float | timedelta
    debounce_max: float | timedelta


class NamedTaskOptions(TaskOptions, total=False):
    """The same for the decorator. name: what it is sent by; the function's own name by default."""

    name: str


def _listed(value: object) -> object:
    return (cast(object, value),) if isinstance(value, type) else value


def _rates(value: object) -> object:
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, tuple | list) or not texts:
        raise ValueError("must be as '100/s', or several of them")
    rates: list[Rate] = []
    for text in cast("tuple[object, ...]", texts):
        if not isinstance(text, str):
            raise ValueError("must be as '100/s', or several of them")
        rates.append(Rate.of(text))
    return tuple(rates)


class _Options(BaseModel):
    """TaskOptions as they are checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    executor: Executor = "thread"
    raises: Annotated[tuple[type[Exception], ...], BeforeValidator(_listed)] = ()
    spread: Annotated[bool, Field(strict=True)] = False
    acks: Acks = "late"
    rate_limit: Annotated[tuple[Rate, ...], BeforeValidator(_rates)] = ()
    max_running: Annotated[int, Field(ge=1, strict=True)] = 1
    limit_by: str = ""
    queue: Name = ""
    priority: Priority = 0
    timeout: Seconds = 0.0
    retry: InstanceOf[RetryPolicy] | None = None
    result_ttl: Seconds = 0.0
    ignore_result: Annotated[bool, Field(strict=True)] = False
    unique: UniqueUntil | None = None
    unique_key: Annotated[str, Field(min_length=1)] | Callable[..., Any] | None = None
    unique_for: Seconds = 0.0
    on_conflict: OnConflict = "return"
    debounce: Seconds = 0.0
    debounce_max: Seconds = 0.0


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


class Definition:
    """What is known of a task whatever options a copy carries. options: as ``checked_options`` returns.

    streams: the function is an async generator. run: what a worker calls; of a generator, what tells each
    value it yields and returns their count.
    """

    def __init__(self, function: Callable[..., Any], name: str, options: TaskOptions) -> None:
        self.function = function
        self.name = name
        self.streams: bool = inspect.isasyncgenfunction(function)
        self.is_async: bool = self.streams or inspect.iscoroutinefunction(function)
        self.run: Callable[..., Any] = self._iterate if self.streams else function
        self.executor: Executor = options.get("executor", "loop" if self.is_async else "thread")
        self.raises: tuple[type[Exception], ...] = cast(
            "tuple[type[Exception], ...]", options.get("raises", ())
        )
        self.retry: RetryPolicy | None = options.get("retry")
        self.unique_key: KeyOf | None = options.get("unique_key")
        self.spread: bool = options.get("spread", False)
        self.limit: Limit | None = Limit.checked(
            function,
            name,
            cast("tuple[Rate, ...]", options.get("rate_limit", ())),
            options.get("max_running"),
            options.get("limit_by"),
        )
        if self.spread:
            self._require_tuple()
        if self.is_async and self.executor != "loop":
            raise ConfigurationError(
                f"task {name!r} is async and runs on the loop; executor is for sync functions"
            )
        if not self.is_async and self.executor == "loop":
            raise ConfigurationError(
                f"task {name!r} is sync: on the loop it would block it; use 'thread' or 'process'"
            )

    async def _iterate(self, *args: Any, **kwargs: Any) -> int:
        reach, item = reaching.get(), self.schema.item
        count = 0
        async with aclosing(self.function(*args, **kwargs)) as values:
            async for value in values:
                await reach.value(value, item.dump)
                count += 1
        return count

    def _require_tuple(self) -> None:
        try:
            returned = get_type_hints(self.function).get("return", Any)
        except NameError:
            # it looks ahead, and is read when the schema is made
            return
        require_tuple(returned, f"{self.name}() result")

    @functools.cached_property
    def schema(self) -> CallSchema:
        """How arguments and result become data; made when first needed, as annotations may look ahead."""
        schema = CallSchema(self.function, self.name, spread=self.spread)
        if schema.streams and not self.is_async:
            raise ConfigurationError(
                f"task {self.name!r} is sync and cannot iterate over the stream {min(schema.streams)!r}; "
                "write it with async def, or let it take a list"
            )
        return schema

    @functools.cached_property
    def keys(self) -> Keys:
        """How the unique keys of its calls are made."""
        return Keys(self.function, self.name)

    @functools.cached_property
    def reading(self) -> Reading:
        """How a waiter reads the result."""
        return Reading(self.schema.result.load, self.raises, self.schema.item.load)


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
    if "unique" in options:
        defaults["unique"] = options["unique"]
    if "unique_for" in options:
        defaults["unique_for"] = options["unique_for"]
    if "on_conflict" in options:
        defaults["on_conflict"] = options["on_conflict"]
    if "debounce" in options:
        defaults["debounce"] = options["debounce"]
    if "debounce_max" in options:
        defaults["debounce_max"] = options["debounce_max"]
    return defaults

"""RetryPolicy: which failures are tried again, how often, and after how long.

Pure: the random number is handed in, so every schedule can be told in a test. Exceptions are told by their
qualified names, and nothing is ever imported to know one.
"""

from __future__ import annotations

import builtins
import inspect
import math
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    Self,
    TypeAlias,
    assert_never,
    cast,
    get_args,
)

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, PlainValidator
from pydantic_core import PydanticCustomError

from aioqueue.models.types import LONGEST, Seconds

Growth = Literal["constant", "fibonacci", "exponential"]
BackoffFunction: TypeAlias = Callable[[int, Exception], float | timedelta | None]
"""Takes the number of the retry, from 1, and what was raised; returns the pause, or None to give up."""

Kinds: TypeAlias = type[BaseException] | str | Iterable[type[BaseException] | str]
"""Exceptions as they may be written: types, or qualified names of types, one or several."""

_SCRIPT: Final = "__main__."


def _named(value: object) -> object:
    listed: object = (value,) if isinstance(value, str | type) else value
    if not isinstance(listed, Iterable):
        return value
    return tuple(_name_of(kind) for kind in cast("Iterable[object]", listed))


def _name_of(kind: object) -> str:
    if isinstance(kind, str):
        return kind.removeprefix("builtins.") if "." in kind else _builtin(kind)
    if isinstance(kind, type) and issubclass(kind, BaseException):
        return _qualified(kind)
    raise PydanticCustomError("exception", "takes exception types, or their qualified names as text")


def _builtin(name: str) -> str:
    found = getattr(builtins, name, None)
    if isinstance(found, type) and issubclass(found, BaseException):
        return name
    said = "{name} is no built-in exception; write it with its module, as 'app.errors.Busy'"
    raise PydanticCustomError("exception", said, {"name": repr(name)})


def _qualified(kind: type[BaseException]) -> str:
    builtin = kind.__module__ == "builtins"
    return kind.__qualname__ if builtin else f"{kind.__module__}.{kind.__qualname__}"


def _is(kind: type[BaseException], name: str) -> bool:
    """Tell whether a class is the one that is named; one of a script has another module there."""
    if name == _qualified(kind):
        return True
    if name.startswith(_SCRIPT):
        return name.removeprefix(_SCRIPT) == kind.__qualname__
    return kind.__module__ == "__main__" and name.endswith(f".{kind.__qualname__}")


def _grows(value: object) -> object:
    if inspect.iscoroutinefunction(value):
        raise PydanticCustomError(
            "backoff", "is asked by the worker's loop and cannot wait; write it with def"
        )
    if callable(value) or (isinstance(value, str) and value in get_args(Growth)):
        return value
    names = ", ".join(get_args(Growth))
    raise PydanticCustomError(
        "backoff", "should be one of {names}, or a function of retry and exception", {"names": names}
    )


def _shown(value: object) -> object:
    return getattr(value, "__qualname__", repr(value)) if callable(value) else value


if TYPE_CHECKING:
    Names: TypeAlias = Kinds
    Backoff: TypeAlias = Growth | BackoffFunction
else:
    # what is kept is names; a function is shown by its own
    Names = Annotated[tuple[str, ...], BeforeValidator(_named)]
    Backoff = Annotated[Any, PlainValidator(_grows), PlainSerializer(_shown, when_used="json")]


class RetryPolicy(BaseModel):
    """When a failed attempt is followed by another.

    max_retries: further attempts after the first; None is for ever. backoff: how the pauses grow from
    *delay* seconds (fibonacci: the next Fibonacci number above the last pause); or a function of the retry's
    number and the exception, which returns the pause as it is to be, or None to give up, and which is
    registered and never sent. delays: the pauses themselves, the last one repeating. max_delay: longest
    pause in seconds. jitter: draw each pause uniformly from 0 up to it. on: what is tried again, exception
    types or their qualified names, subclasses included; nothing named is everything. not_on: what is not,
    whatever *on* says. on_timeout: whether an attempt that ran out of time is; None asks *on* and *not_on*,
    as for any TaskTimeoutError. An explicit ``raise Retry`` asks none of these, but counts.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    max_retries: Annotated[int, Field(ge=0, strict=True)] | None = 3
    backoff: Backoff = "exponential"
    delay: Seconds = 1.0
    delays: tuple[Seconds, ...] = ()
    max_delay: Seconds = 3600.0
    jitter: Annotated[bool, Field(strict=True)] = True
    on: Names = ()
    not_on: Names = ()
    on_timeout: Annotated[bool, Field(strict=True)] | None = None

    @classmethod
    def forever(cls, **fields: Any) -> Self:
        """Return a policy that never gives up; *fields* as of any."""
        return cls._of(fields, max_retries=None)

    @classmethod
    def fibonacci(cls, max_retries: int | None, delay: float = 0.0, **fields: Any) -> Self:
        """Return machinery's policy: pauses are the Fibonacci numbers above *delay*, and no chance."""
        return cls._of(fields, max_retries=max_retries, backoff="fibonacci", delay=delay, jitter=False)

    @classmethod
    def listed(cls, *delays: float | timedelta, **fields: Any) -> Self:
        """Return a policy of as many retries as there are pauses, which are as they say."""
        return cls._of(fields, max_retries=len(delays), delays=delays, jitter=False)

    @classmethod
    def _of(cls, fields: dict[str, Any], **own: Any) -> Self:
        return cls.model_validate({**own, **fields})

    @property
    def travels(self) -> bool:
        """True unless it holds a function, which cannot be sent."""
        return isinstance(self.backoff, str)

    def sendable(self) -> Self:
        """Return what of it can be sent: all but a function."""
        return self if self.travels else self.model_copy(update={"backoff": "exponential"})

    def allows(self, retries: int) -> bool:
        """Tell whether another attempt may follow after *retries* of them."""
        return self.max_retries is None or retries < self.max_retries

    def covers(self, exc: BaseException, *, timed_out: bool = False) -> bool:
        """Tell whether an attempt that ended with *exc* is tried again. timed_out: its timeout ended it."""
        if timed_out and self.on_timeout is not None:
            return self.on_timeout
        on, not_on = cast("tuple[str, ...]", self.on), cast("tuple[str, ...]", self.not_on)
        kinds = [kind for kind in type(exc).__mro__ if issubclass(kind, BaseException)]

        def named(names: tuple[str, ...]) -> bool:
            return any(_is(kind, name) for name in names for kind in kinds)

        return (not on or named(on)) and not named(not_on)

    def pause(self, retry: int, random: float) -> float:
        """Return the seconds before retry number *retry* (from 1) by its growth; *random* is from [0, 1)."""
        seconds = min(self._grown(retry), self.max_delay)
        return seconds * random if self.jitter else seconds

    def after(self, exc: BaseException, retry: int, random: float) -> float | None:
        """Return the seconds before retry number *retry*, now that *exc* was raised, or None to give up.

        A backoff function may raise anything; ValueError is raised for what it returns that is no pause.
        """
        if isinstance(self.backoff, str):
            return self.pause(retry, random)
        return _exact(self.backoff(retry, exc)) if isinstance(exc, Exception) else None

    def _grown(self, retry: int) -> float:
        if self.delays:
            return self.delays[min(retry, len(self.delays)) - 1]
        backoff = cast("Growth", self.backoff) if isinstance(self.backoff, str) else "exponential"
        match backoff:
            case "constant":
                return self.delay
            case "exponential":
                return self.delay * 2.0 ** min(retry - 1, 64)
            case "fibonacci":
                return _fibonacci_above(self.delay, retry, self.max_delay)
            case _:
                assert_never(backoff)


def _exact(pause: object) -> float | None:
    seconds = pause.total_seconds() if isinstance(pause, timedelta) else pause
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ValueError(f"it returned {pause!r}; seconds, a timedelta or None to give up are what it may")
    if not (math.isfinite(seconds) and 0 <= seconds <= LONGEST):
        raise ValueError(f"it returned {pause!r}; a pause is 0 or more seconds, and at most a hundred years")
    return float(seconds)


def _fibonacci_above(value: float, steps: int, limit: float) -> float:
    low, high = 0, 1
    for _ in range(steps):
        while high <= value:
            low, high = high, low + high
        value = float(high)
        if value > limit:
            break
    return value

"""Streams: what a task takes as ``AsyncIterator[T]``, the previous result's items, or yields as one.

Only a previous result can be taken as a stream, as nothing else is read while the task runs.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, get_args, get_origin

from aioqueue.errors import ConfigurationError

_KINDS: Final = (AsyncIterator, AsyncIterable)
_YIELDS: Final = (*_KINDS, AsyncGenerator)
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def streamed(parameters: Sequence[inspect.Parameter], hints: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Return the parameters that are streams, and what each has as items. Raises ConfigurationError."""
    found: dict[str, Any] = {}
    for parameter in parameters:
        annotation = hints.get(parameter.name)
        if annotation in _KINDS or get_origin(annotation) in _KINDS:
            if parameter.kind not in _POSITIONAL:
                raise ConfigurationError(
                    f"task {task!r}: {parameter.name!r} is a stream; make it positional, as what it takes is"
                )
            (found[parameter.name],) = get_args(annotation) or (Any,)
    return found


def yielded(returned: object) -> Any:
    """Return what an async generator yields whose annotation is *returned*."""
    given = get_args(returned) if get_origin(returned) in _YIELDS else ()
    return given[0] if given else Any


def stand_in(parameters: Sequence[inspect.Parameter], hints: Mapping[str, Any]) -> Callable[..., Any]:
    """Return a function that has these parameters with the annotations of *hints*; it is never called."""

    def function() -> None: ...

    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # inspect reads it
    function.__annotations__ = {p.name: hints[p.name] for p in parameters if p.name in hints}
    return function


async def stream(
    values: Sequence[Any] | AsyncIterable[Any], load: Callable[[Any], Any]
) -> AsyncIterator[Any]:
    """Yield each of *values* as *load* makes it."""
    if isinstance(values, AsyncIterable):
        async for value in values:
            yield load(value)
    else:
        for value in values:
            yield load(value)

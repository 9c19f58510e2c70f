"""Middleware: a user's code around every send, and around every run of a task.

The first one is outermost: it is asked first and sees the outcome last. A hook that no middleware
overrides is not there at all, so it costs nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from aioqueue.context import Context
from aioqueue.errors import ConfigurationError
from aioqueue.models.signature import Signature
from aioqueue.results import AsyncResult


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a task is called with, validated and converted by its annotations."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


Calls = Sequence[Signature[Any]]
Sent = Sequence[AsyncResult[Any]]
Send = Callable[[Calls], Awaitable[Sent]]
"""Sends calls, and returns the result of each, in order."""
Run = Callable[[Arguments], Awaitable[Any]]
"""Calls the task, and returns what that returns."""


class Middleware:
    """Hooks around sending and around running; override either. Given by ``Server(middleware=[…])``."""

    async def send(self, calls: Calls, next: Send, /) -> Sent:
        """Send *calls* by ``await next(calls)``, or others, as many, in their place.

        calls: of ``send`` one, of ``send_many`` all of them; a workflow is one call. They have no id yet
        but one that the sender chose; the results have. What is raised refuses the send: before ``next``
        nothing of it is written.
        """
        return await next(calls)

    async def run(self, context: Context, arguments: Arguments, next: Run, /) -> Any:
        """Run one attempt of a task by ``await next(arguments)``, and return what it is to come to.

        What is raised is the attempt's failure, as if the task had raised it; ``Retry`` and ``Reject`` too.
        A cancel, a timeout and a stop are raised here as CancelledError: let it pass.
        """
        return await next(arguments)


class Hooks:
    """The middleware of a Server, and of its workers. sends, runs: the hooks there are, outermost first."""

    def __init__(self, given: Iterable[Middleware]) -> None:
        self.sends: list[Callable[[Calls, Send], Awaitable[Sent]]] = []
        self.runs: list[Callable[[Context, Arguments, Run], Awaitable[Any]]] = []
        for each in given:
            self.add(each)

    def add(self, middleware: Middleware) -> None:
        """Add one, innermost. Raises ConfigurationError for what is none."""
        given = cast(object, middleware)
        if not isinstance(given, Middleware):
            raise ConfigurationError(
                f"{given!r} is no middleware; give an object of a class derived from aioqueue.Middleware"
            )
        kind = type(middleware)
        if kind.send is not Middleware.send:
            self.sends.append(middleware.send)
        if kind.run is not Middleware.run:
            self.runs.append(middleware.run)

    async def send(self, calls: Calls, write: Send) -> Sent:
        """Send *calls* through all of them; write: what does it in the end. Raises what they raise."""

        async def written(given: Calls) -> Sent:
            _require_as_many(given, calls, "sent {} calls")
            return await write(given)

        send: Send = written
        for hook in reversed(self.sends):
            send = _around_send(hook, send)
        results = await send(calls)
        _require_as_many(results, calls, "returned {} results")
        return results

    def run(self, context: Context, arguments: Arguments, call: Run) -> Awaitable[Any]:
        """Run one attempt through all of them; call: what calls the task in the end."""
        for hook in reversed(self.runs):
            call = _around_run(hook, context, call)
        return call(arguments)


def _around_send(hook: Callable[[Calls, Send], Awaitable[Sent]], inner: Send) -> Send:
    return lambda calls: hook(calls, inner)


def _around_run(
    hook: Callable[[Context, Arguments, Run], Awaitable[Any]], context: Context, inner: Run
) -> Run:
    return lambda arguments: hook(context, arguments, inner)


def _require_as_many(given: Sequence[object], calls: Calls, done: str) -> None:
    if len(given) != len(calls):
        raise ConfigurationError(
            f"a middleware has {done.format(len(given))} for {len(calls)}; its send takes as many as it "
            "passes on and returns a result for each: raise an error to refuse the send"
        )

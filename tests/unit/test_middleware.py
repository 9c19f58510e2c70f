"""Middleware: which hooks there are, and what they may not do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from aioqueue import Context, Middleware, Server, Signature
from aioqueue.errors import ConfigurationError
from aioqueue.middleware import Arguments, Calls, Hooks, Run, Send, Sent

pytestmark = pytest.mark.anyio

CALLS = [Signature(name="add"), Signature(name="add")]


class Sending(Middleware):
    """Passes *passed* calls on, and returns *returned* results."""

    def __init__(self, passed: int = 2, returned: int = 2) -> None:
        self.passed = passed
        self.returned = returned

    async def send(self, calls: Calls, next: Send, /) -> Sent:
        return (await next(calls[: self.passed]))[: self.returned]


class Running(Middleware):
    """Passes a run on."""

    async def run(self, context: Context, arguments: Arguments, next: Run, /) -> Any:
        return await next(arguments)


class Inherited(Running):
    """Has its hook from a class above."""


async def write(calls: Calls) -> Sent:
    """Stand for a send: as many results as calls."""
    return cast("Sent", list(calls))


def test_hook_that_nobody_overrides_is_none() -> None:
    hooks = Hooks([Middleware(), Sending(), Running(), Inherited()])

    assert (len(hooks.sends), len(hooks.runs)) == (1, 2)


def test_what_is_no_middleware_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"is no middleware; give an object of a class derived"):
        Server("memory://", middleware=[cast(Any, Middleware)])
    with pytest.raises(ConfigurationError, match="is no middleware"):
        Server("memory://").add_middleware(cast(Any, print))


async def test_send_through_hooks_answers_in_order() -> None:
    results: Sequence[object] = await Hooks([Sending(), Sending()]).send(CALLS, write)

    assert results == CALLS


async def test_hook_that_drops_a_call_is_told_before_anything_is_written() -> None:
    written: list[object] = []

    async def told(calls: Calls) -> Sent:
        written.append(calls)
        return await write(calls)

    with pytest.raises(ConfigurationError, match="a middleware has sent 1 calls for 2"):
        await Hooks([Sending(passed=1)]).send(CALLS, told)
    assert written == []


async def test_hook_that_drops_a_result_is_told() -> None:
    with pytest.raises(ConfigurationError, match="a middleware has returned 1 results for 2"):
        await Hooks([Sending(returned=1)]).send(CALLS, write)

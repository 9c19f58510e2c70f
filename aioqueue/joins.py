"""Joins: what their members have come to, read in pages, so that no reply grows with the width of a group.

A member that is another join has joined when that one was full: it is read once, and whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, cast

from aioqueue import codec
from aioqueue.errors import (
    ResultNotFoundError,
    TaskCancelledError,
    TaskError,
    TaskExpiredError,
    TaskFailedError,
    TaskTimeoutError,
)
from aioqueue.models.state import ErrorInfo
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.flow import PAGE, Kind, Member

_ERRORS: dict[str, type[TaskError]] = {
    "TaskTimeoutError": TaskTimeoutError,
    "TaskExpiredError": TaskExpiredError,
    "TaskCancelledError": TaskCancelledError,
}
"""Errors that are told by the name on record; any other is a TaskFailedError."""


class Watch:
    """Follows a join: tells what each member has come to once, when it is first seen to have joined."""

    def __init__(self, backend: Backend, join: str) -> None:
        self._backend = backend
        self._join = join
        self._seen: bytearray | None = None

    @property
    def size(self) -> int:
        """Return how many members there are; 0 before the first look."""
        return len(self._seen or b"")

    @property
    def left(self) -> int:
        """Return how many members have not been seen."""
        return (self._seen or b"").count(0)

    async def look(self) -> AsyncIterator[tuple[int, Any]]:
        """Yield number and outcome of each member that has joined and was not told yet, in order.

        Pages of which all is known are not read. Raises ResultNotFoundError, BackendUnavailableError.
        """
        at = 0 if self._seen is None else self._seen.find(0)
        while at >= 0:
            count = PAGE if self._seen is None else self._seen.rfind(0, at, at + PAGE) + 1 - at
            page = await self._backend.members(self._join, at, count)
            if page is None:
                raise gone(self._join)
            seen = self._seen = self._seen or bytearray(page.size)
            for number, member in enumerate(page.members, at):
                if member is None:
                    continue
                outcome = await outcome_of(self._backend, member)
                # another look may have come first
                if not seen[number]:
                    seen[number] = 1
                    yield number, outcome
            at = seen.find(0, at + len(page.members)) if page.members else -1


async def joined(backend: Backend, join: str) -> list[Any]:
    """Return the values of a join that is full, in order. Raises as ``Watch.look``."""
    watch = Watch(backend, join)
    outcomes = [outcome async for _, outcome in watch.look()]
    if watch.left:
        raise gone(join)
    return outcomes


async def outcome_of(backend: Backend, member: Member) -> Any:
    """Return what a member has come to; TaskErrors as they are, of another join the list of its values."""
    match member.kind:
        case Kind.VALUE:
            return codec.decode_value(member.data)
        case Kind.ERROR:
            return error_of(codec.decode_error(member.data))
        case Kind.JOIN:
            return await joined(backend, member.data.decode())


def first_error(outcomes: Iterable[Any]) -> TaskError | None:
    """Return the first error among outcomes, and in the groups among them."""
    for outcome in outcomes:
        if isinstance(outcome, TaskError):
            return outcome
        found = first_error(cast("list[Any]", outcome)) if isinstance(outcome, list) else None
        if found is not None:
            return found
    return None


def gone(join: str) -> ResultNotFoundError:
    """Return the error of a join that is unknown, or whose values are dropped."""
    return ResultNotFoundError(f"the values of {join!r} are not kept any more, or it is no group")


def error_of(info: ErrorInfo, kind: type[TaskError] | None = None) -> TaskError:
    """Return the error that is on record, as it is raised. kind: where that is known by something else."""
    return (kind or _ERRORS.get(info.type, TaskFailedError))(
        info.message,
        type=info.type,
        traceback=info.traceback,
        task_id=info.task_id,
        task_name=info.task_name,
        attempts=info.attempt,
    )

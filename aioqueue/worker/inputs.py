"""Inputs: what a node of a workflow takes from before it, read when it is about to run.

A stream is read while the task runs, a page at a time; what it reads is kept until the task has ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any, Final

from aioqueue import codec
from aioqueue.canvas import ERROR
from aioqueue.errors import AioqueueError, ResultNotFoundError, UnavailableError
from aioqueue.joins import outcome_of
from aioqueue.models.state import ErrorInfo
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.flow import PAGE, Kind, Member, Members

_log = logging.getLogger("aioqueue.worker")

_PAUSES: Final = (0.1, 0.5, 2.0)


class InputGoneError(AioqueueError):
    """What a call takes is not kept any more."""


async def taken(backend: Backend, source: str, streamed: bool = False) -> Any:
    """Return the value of the join that *source* names.

    streamed: the values of a group are an AsyncIterator that reads them, and raises the same.
    Raises InputGoneError, BackendUnavailableError.
    """
    page = await _page(backend, source, 0)
    if page.single:
        member = next(iter(page.members), None)
        if member is not None and member.kind is Kind.VALUE:
            return codec.decode_given(member.data)
        return await _outcome(backend, source, member)
    values = _values(backend, source, page)
    return values if streamed else [value async for value in values]


async def fault(backend: Backend, source: str) -> ErrorInfo:
    """Return the error that *source* names, which closed a scope. Raises as ``taken``."""
    id = source.removeprefix(ERROR)
    error = await backend.fault(id)
    if error is None:
        raise InputGoneError(f"the error of {id!r} is not kept any more")
    return codec.decode_error(error)


async def _values(backend: Backend, source: str, page: Members) -> AsyncIterator[Any]:
    """Yield the values of a join, of which *page* is the first one."""
    at, size = 0, page.size
    while at < size:
        if at:
            page = await _again(backend, source, at)
        if not page.members:
            raise _gone(source)
        for member in page.members:
            yield await _outcome(backend, source, member)
        at += len(page.members)


async def _again(backend: Backend, source: str, first: int) -> Members:
    """Return a page; where the store is away, ask a few times more."""
    for pause in _PAUSES:
        try:
            return await _page(backend, source, first)
        except UnavailableError as exc:
            _log.warning("cannot read the values of %s, trying again: %s", source, exc)
            await asyncio.sleep(pause)
    return await _page(backend, source, first)


async def _page(backend: Backend, source: str, first: int) -> Members:
    page = await backend.members(source, first, PAGE)
    if page is None:
        raise _gone(source)
    return page


async def _outcome(backend: Backend, source: str, member: Member | None) -> Any:
    if member is None:
        raise _gone(source)
    try:
        return await outcome_of(backend, member)
    except ResultNotFoundError:
        raise _gone(source) from None


def _gone(source: str) -> InputGoneError:
    return InputGoneError(f"the values of {source!r} are not kept any more")

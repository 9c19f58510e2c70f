"""Inputs: what a node of a workflow takes from before it, read when it is about to run."""

from __future__ import annotations

from typing import Any

from aioqueue import codec
from aioqueue.canvas import ERROR
from aioqueue.errors import AioqueueError, ResultNotFoundError
from aioqueue.protocols.backend import Backend
from aioqueue.results import NOT_JOINED, joined


class InputGoneError(AioqueueError):
    """What a call takes is not kept any more."""


async def taken(backend: Backend, source: str) -> Any:
    """Return the value that *source* names: a join's, or the message of the error that closed a scope.

    Raises InputGoneError, BackendUnavailableError.
    """
    if source.startswith(ERROR):
        return await _message(backend, source.removeprefix(ERROR))
    try:
        found = await joined(backend, source)
    except ResultNotFoundError as exc:
        raise InputGoneError(str(exc)) from None
    if any(value is NOT_JOINED for value in found.values):
        raise InputGoneError(f"some of the values of {source!r} are not kept any more")
    return found.values[0] if found.single else found.values


async def _message(backend: Backend, id: str) -> str:
    error = await backend.fault(id)
    if error is None:
        raise InputGoneError(f"the error of {id!r} is not kept any more")
    return codec.decode_error(error).message

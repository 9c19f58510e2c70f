"""StreamResult: the outcome of a task that yields values: their count, and on the way each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Generic, TypeVar

from aioqueue.models.event import Event
from aioqueue.results import AsyncResult

V_co = TypeVar("V_co", covariant=True)


class StreamResult(AsyncResult[int], Generic[V_co]):
    """The result of an async generator. ``await`` gives how many values it has yielded, ``events`` each."""

    def __init__(self, result: AsyncResult[int]) -> None:
        # the same result, of which a type checker knows more
        vars(self).update(vars(result))

    def events(self, *, after: str | None = None) -> AsyncIterator[Event[V_co]]:
        """Yield what is told of the task, in order. See ``AsyncResult.events``."""
        return super().events(after=after)

"""GroupResult: the outcomes of a group, as they come or all at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Literal, TypeVar, overload

from aioqueue.errors import ResultNotFoundError, ResultTimeoutError, TaskError
from aioqueue.joins import Watch, first_error, gone
from aioqueue.models.state import State
from aioqueue.models.stats import GroupCounts
from aioqueue.protocols.messages import Record
from aioqueue.results import ROUND, AsyncResult, Reading, Results
from aioqueue.states import join_of, task_error

R = TypeVar("R")

_SOON: Final = 0.05
_LOOK: Final = 1.0


class GroupResult(AsyncResult[list[R]]):
    """The outcomes of a group, in the order of its members. id: of the group's record.

    readings: how each member's value is read; raw JSON where they are not known.
    """

    def __init__(
        self, id: str, results: Results, readings: Sequence[Reading] = (), *, record: str | None = None
    ) -> None:
        super().__init__(id, results, record=record)
        self._readings = readings
        self._counted: Watch | None = None
        self._failed = 0

    def __repr__(self) -> str:
        return f"<GroupResult {self.id}>"

    @overload
    async def get(self, *, timeout: float | None = None, errors: Literal["raise"] = "raise") -> list[R]: ...
    @overload
    async def get(
        self, *, timeout: float | None = None, errors: Literal["return"]
    ) -> list[R | TaskError]: ...
    async def get(
        self, *, timeout: float | None = None, errors: Literal["raise", "return"] = "raise"
    ) -> list[Any]:
        """Return the members' values, in order, as soon as all of them have ended.

        timeout: seconds to wait; None waits as long as it takes. errors: ``raise`` the first failure as soon
        as one is known, while the rest runs on, or ``return`` errors among the values. Raises as
        AsyncResult.get.
        """
        found = {number: value async for number, value in self._ended(timeout, first=errors == "raise")}
        return [found[number] for number in range(len(found))]

    async def counts(self) -> GroupCounts:
        """Return how many of the members have ended by now.

        A group among them has ended when all of it has, and has failed where one of its members has.
        Raises ResultNotFoundError, BackendUnavailableError.
        """
        backend = self._results.required()
        record = await self._waited(0.0)
        watch = self._counted = self._counted or Watch(backend, self._join(record))
        async for _, outcome in watch.look():
            self._failed += first_error([outcome]) is not None
        ended = watch.size - watch.left
        return GroupCounts(total=watch.size, completed=ended - self._failed, failed=self._failed)

    @overload
    def as_completed(self, *, errors: Literal["raise"] = "raise") -> AsyncIterator[tuple[int, R]]: ...
    @overload
    def as_completed(self, *, errors: Literal["return"]) -> AsyncIterator[tuple[int, R | TaskError]]: ...
    def as_completed(self, *, errors: Literal["raise", "return"] = "raise") -> AsyncIterator[tuple[int, Any]]:
        """Iterate over the members as they end: the number of each, from 0, and its value.

        errors: ``raise`` the failure of a member when its turn comes, or ``return`` it as its value.
        Ends when all have ended. Raises as ``get``, in the iteration.
        """
        return self._ended(None, first=errors == "raise")

    def _join(self, record: Record) -> str:
        """Return the join whose members these are. Raises ResultNotFoundError where there is none."""
        join = join_of(record)
        if join is None:
            raise ResultNotFoundError(
                f"{self.id!r} is no group: what was sent under it first comes to one value; "
                f"read that with server.result({self.id!r}), or send the group under another id"
            )
        return join

    async def _ended(self, timeout: float | None, *, first: bool) -> AsyncIterator[tuple[int, Any]]:
        """Yield number and value of each member as it is seen to have ended. first: raise an error."""
        backend, clock = self._results.required(), self._results.clock
        until = None if timeout is None else clock.time() + timeout
        watch: Watch | None = None
        pause, over = 0.0, clock.time() + ROUND
        with self._results.patience() as patience:
            while True:
                left = pause if until is None else min(pause, until - clock.time())
                record = await self._waited(left)
                if record.state.final and record.state is not State.SUCCESS:
                    raise task_error(record)
                watch = watch or Watch(backend, self._join(record))
                async for number, outcome in watch.look():
                    if first and (error := first_error([outcome])) is not None:
                        raise error
                    known = number < len(self._readings)
                    yield number, self._readings[number].read(outcome) if known else outcome
                if record.state.final:
                    if watch.left:
                        raise gone(self._join(record))
                    return
                if until is not None and clock.time() >= until:
                    raise ResultTimeoutError(f"group {self.id} is {record.state} after {timeout} s")
                if not pause or clock.time() >= over:
                    await self._look(patience, record, over=bool(pause))
                    over = clock.time() + ROUND
                pause = min(_LOOK, max(_SOON, 2 * pause))
                await asyncio.sleep(0)

"""A shelf of joins: what a backend says of them, written down by a test, and what was asked."""

from __future__ import annotations

from typing import Any, cast

from aioqueue.clock import Clock
from aioqueue.codec import encode_value
from aioqueue.errors import BackendUnavailableError
from aioqueue.group_result import GroupResult
from aioqueue.models.state import Cancellation, CancelOutcome, RescheduleOutcome, State
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.flow import Kind, Member, Members
from aioqueue.protocols.messages import Record, When
from aioqueue.results import Results


def value(what: object) -> Member:
    """Return a member that has come to *what*."""
    return Member(Kind.VALUE, encode_value(what))


class Shelf:
    """Joins that are written by hand, and what was asked of them; only waiting takes time there.

    most: members in an answer. away: how many reads find nobody there.
    """

    def __init__(self, *, most: int = 1_000, **joins: list[Member | None]) -> None:
        self.joins = joins
        self.most = most
        self.reads: list[tuple[int, int]] = []
        self.waits: list[float] = []
        self.state = State.STARTED
        self.away = 0

    @property
    def backend(self) -> Backend:
        """Return this as the backend it stands for."""
        return cast(Backend, self)

    async def members(self, join: str, first: int, count: int) -> Members | None:
        self.reads.append((first, count))
        if self.away:
            self.away -= 1
            raise BackendUnavailableError("the cable is out")
        found = self.joins.get(join)
        part = None if found is None else found[first : first + min(count, self.most)]
        return None if found is None or part is None else Members(len(found), False, tuple(part))

    async def wait(self, id: str, *, timeout: float) -> Record | None:
        self.waits.append(timeout)
        return Record(id, "group", "", state=self.state) if id in self.joins else None

    def result(self, id: str) -> GroupResult[Any]:
        """Return the result of a group that is one of the joins."""
        return GroupResult(id, Results(self.backend, None, cast(Clock, self), self.cancel, self.reschedule))

    async def reschedule(self, id: str, when: When) -> RescheduleOutcome:
        return RescheduleOutcome.NOT_FOUND

    async def cancel(self, id: str) -> Cancellation:
        return Cancellation(outcome=CancelOutcome.NOT_FOUND)

    def time(self) -> float:
        return sum(self.waits)

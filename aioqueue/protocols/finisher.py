"""Submitter and Finisher: the two ends of a task's way, each in one step where one store allows it.

One store: one transaction. Two stores: record, then message on the way in; commit, then settle
on the way out, each step safe to repeat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from aioqueue.models.state import CancelOutcome, RescheduleOutcome
from aioqueue.protocols.flow import Opening
from aioqueue.protocols.messages import Delivery, Ending, Message, Start, When
from aioqueue.protocols.unique import Answer


class Submitter(Protocol):
    """Sends new tasks: their records and their messages."""

    async def submit(self, messages: Sequence[Message], *, limit: int | None = None) -> Sequence[Answer]:
        """Accept all or none; False for each id that has a record or a message already.

        Held for each whose unique key another open task has, unless that one is replaced: it is then
        cancelled, in one store in the same step. A key is looked at and claimed in the step that writes.

        limit: most messages a queue may hold then, waiting, delayed and held; None has no limit.
        What is known already is no message more. Raises QueueFullError, before anything is
        written, when a queue of theirs would hold more.
        """
        ...

    async def open_workflow(self, opening: Opening) -> bool:
        """Start a workflow that is kept whole, in one step; False if it was before. Safe to repeat."""
        ...

    async def cancel(
        self, ids: Sequence[str], *, ttl: float, waiting: bool = False
    ) -> Sequence[CancelOutcome]:
        """Cancel as a backend does, and publish what that releases; one store takes back what waits."""
        ...

    async def reschedule(self, id: str, when: When) -> RescheduleOutcome:
        """Give a task that waits for a moment another one; of two stores the record first, then the message.

        A moment that is past is now: it starts at once. Safe to repeat.
        """
        ...


class Finisher(Protocol):
    """Starts and ends attempts on record."""

    async def begin(self, deliveries: Sequence[Delivery]) -> Sequence[Start]:
        """Write STARTED for each delivery that may run."""
        ...

    async def finish(self, endings: Sequence[Ending]) -> Sequence[bool]:
        """Commit each ending, publish what follows, settle; False: another attempt owns the task."""
        ...

    async def release(self, deliveries: Sequence[Delivery], *, delay: float = 0.0) -> None:
        """Give back begun deliveries, nothing counted: their records read PENDING again."""
        ...

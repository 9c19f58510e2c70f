"""Backend: where a task's record is kept, from its sending until its time is over.

Records change by compare-and-set, so that of two attempts one commits. Only a backend that is
not its broker's store is claimed and committed by these methods; one store has a finisher.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from aioqueue.protocols.capabilities import Capabilities
from aioqueue.protocols.flow import Members, Opened, Opening, Page, Whole
from aioqueue.protocols.lease import Lease
from aioqueue.protocols.log import Log, Note, Standing
from aioqueue.protocols.messages import (
    Attempt,
    Cancelled,
    Committed,
    Delivery,
    Ending,
    Message,
    Record,
    Rescheduled,
    Start,
    When,
)
from aioqueue.protocols.unique import Answer


class Backend(Protocol):
    """A service that keeps records. Methods raise BackendUnavailableError."""

    @property
    def capabilities(self) -> Capabilities: ...

    async def open(self) -> None: ...

    async def close(self) -> None:
        """Close its connections; idempotent, and ``open`` may follow."""
        ...

    async def put(self, records: Sequence[Record], *, follow: bool = False) -> Sequence[Answer]:
        """Create PENDING records; False where one exists whose task has started or ended.

        Held where a new one claims a key that another open task has; *replace* is the caller's to see to.

        follow: they belong to a task that has ended, so a store that is full takes them all the same.
        """
        ...

    async def get(self, ids: Sequence[str]) -> list[Record | None]:
        """Return the records in order; None for unknown, forgotten and expired ones."""
        ...

    async def history(self, id: str) -> list[Attempt]:
        """Return the attempts that ended in RETRY or were lost, the last HISTORY of them, oldest first.

        They are kept as long as the record.
        """
        ...

    async def wait(self, id: str, *, timeout: float) -> Record | None:
        """Return the record once it is final, or as it stands after *timeout* s; None if there is none."""
        ...

    async def claim(self, deliveries: Sequence[Delivery], *, owner: str, worker: str) -> Sequence[Start]:
        """Write STARTED for *owner*, unless the attempt has ended or a live owner runs it.

        A claim whose owner's lease is gone is taken over and counted as a loss.
        A message whose record is gone is run: the record is made again. One of a cancelled whole is answered
        with what that one tells and has not started.
        """
        ...

    async def unclaim(self, deliveries: Sequence[Delivery], *, owner: str) -> None:
        """Take back claims of *owner*, nothing counted."""
        ...

    async def commit(self, endings: Sequence[Ending], *, owner: str) -> Sequence[Committed | None]:
        """End attempts that *owner* has claimed; None where it no longer owns the task.

        The same owner's repeat of a commit is answered alike. What an ending released is kept with
        the commit record for 24 h, whatever the value's time, with what its workflow released by it. A task
        that goes on as a workflow stays STARTED and is nobody's: it runs no more, and ends when that does.
        """
        ...

    async def cancel(self, ids: Sequence[str], *, ttl: float, waiting: bool = False) -> Sequence[Cancelled]:
        """End tasks, nodes and whole workflows that have not ended: their records read CANCELLED for *ttl* s.

        What has not started will not, and what runs commits no more; who waits for it is woken. An id is a
        record's, or that of a workflow that was opened, of which all that has not ended is cancelled, and
        what runs in the place of its nodes. A record outlasts the message, whenever that is due. Workflows
        move on as by a failure. Of one that has ended before is answered what its cancel released, once more.
        waiting: tasks that a live owner has started, or that went on as a workflow, are spared: RUNNING.
        """
        ...

    async def reschedule(self, id: str, when: When) -> Rescheduled:
        """Write when a task is due whose record waits for a moment, and keep the record as long; its message
        is in another store, which knows whether it still waits, and is moved then. One that was cancelled
        before does not come later than its record lasts.
        """
        ...

    async def plan(self, page: Page) -> Sequence[str]:
        """Keep some of a workflow: each node's record reads PENDING, and its message waits to be released.

        Nothing of it runs before all of it is kept and it is opened. Safe to repeat. It is kept for 30 days
        past the moment its nodes are due, like an open task. Returns the ids of nodes that cannot be kept,
        as there is a task of that id which is none of this workflow, or a workflow of another digest.
        """
        ...

    async def retract(self, workflow: str, keeper: str) -> None:
        """Take back what a *keeper* has kept of a workflow, which is refused and will not open it.

        It is dropped once all have done so who kept a page of it, and not if it was opened: another sender of
        the same finds all that it has kept. Safe to repeat; of an unknown workflow or keeper it is nothing.
        """
        ...

    async def open_workflow(self, opening: Opening) -> Opened:
        """Open a workflow whose messages are in another store. Safe to repeat: what has not started is
        answered again."""
        ...

    async def workflow(self, id: str) -> Whole | None:
        """Return a workflow that was opened, as long as it is kept."""
        ...

    async def fault(self, scope: str) -> bytes | None:
        """Return the error with which a scope was closed that releases nodes; None if it is not kept."""
        ...

    async def members(self, join: str, first: int, count: int) -> Members | None:
        """Return at most *count* members of a join from number *first*; None where there is no such join.

        A member that is another join is answered as a JOIN, to be asked for in turn.
        """
        ...

    async def release_more(self, message: Message) -> Sequence[Message]:
        """Return what an OPEN message stands for, where messages are in another store: its next page, and the
        next OPEN message if there is more."""
        ...

    async def note(self, id: str, notes: Sequence[Note], *, first: int, attempt: int, owner: str) -> bool:
        """Add to a task's log what the run of *attempt* by *owner* tells; False if that does not run, or
        nobody may read of it: then nothing is written.

        first: how many notes of this run were written before; what came with a call whose answer was lost is
        not written twice. The log lasts as long as the record is shown. It keeps the last LOG_PROGRESS of
        progress, and all values of the run; of earlier ones the oldest make room.
        """
        ...

    async def log(self, id: str, *, after: int, seen: Standing | None, timeout: float) -> Log | None:
        """Return record, attempts and the log behind entry *after* as they stand in one moment; None if there
        is no record that is shown.

        At once if there is such an entry, or the record is final or stands otherwise than *seen*; else as
        soon as one of these comes true, or as it stands after *timeout* s. An entry and an end are told at
        once, other changes of the record within a second or so.
        """
        ...

    async def forget(self, ids: Sequence[str]) -> None:
        """Drop the values and records of ended tasks; an open one's are dropped when it ends."""
        ...

    async def bury(self, owner: str) -> None:
        """End the lease of an owner that is known to be dead: the next claim takes over what it claimed.

        Each is counted as a loss then. Idempotent; an unknown owner is nothing.
        """
        ...

    def lease(self, owner: str, *, seconds: float) -> Lease:
        """Return the lease that keeps *owner*'s claims."""
        ...

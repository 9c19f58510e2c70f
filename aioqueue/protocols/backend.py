"""Backend: where a task's record is kept, from its sending until its time is over.

Records change by compare-and-set, so that of two attempts one commits. Only a backend that is
not its broker's store is claimed and committed by these methods; one store has a finisher.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from aioqueue.protocols.capabilities import Capabilities
from aioqueue.protocols.lease import Lease
from aioqueue.protocols.messages import Delivery, Ending, Record, Start


class Backend(Protocol):
    """A service that keeps records. Methods raise BackendUnavailableError."""

    @property
    def capabilities(self) -> Capabilities: ...

    async def open(self) -> None: ...

    async def close(self) -> None:
        """Close its connections; idempotent, and ``open`` may follow."""
        ...

    async def put(self, records: Sequence[Record], *, follow: bool = False) -> Sequence[bool]:
        """Create PENDING records; False where one exists whose task has started or ended.

        follow: they belong to a task that has ended, so a store that is full takes them all the same.
        """
        ...

    async def get(self, ids: Sequence[str]) -> list[Record | None]:
        """Return the records in order; None for unknown, forgotten and expired ones."""
        ...

    async def wait(self, id: str, *, timeout: float) -> Record | None:
        """Return the record once it is final, or as it stands after *timeout* s; None if there is none."""
        ...

    async def claim(self, deliveries: Sequence[Delivery], *, owner: str, worker: str) -> Sequence[Start]:
        """Write STARTED for *owner*, unless the attempt has ended or a live owner runs it.

        A claim whose owner's lease is gone is taken over and counted as a loss.
        A message whose record is gone is run: the record is made again.
        """
        ...

    async def unclaim(self, deliveries: Sequence[Delivery], *, owner: str) -> None:
        """Take back claims of *owner*, nothing counted."""
        ...

    async def commit(self, endings: Sequence[Ending], *, owner: str) -> Sequence[bool]:
        """End attempts that *owner* has claimed; False where it no longer owns the task.

        The same owner's repeat of a commit answers True. What an ending released is kept with
        the commit record for 24 h, whatever the value's time.
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

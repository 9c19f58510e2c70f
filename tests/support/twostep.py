"""A backend beside a broker that is another store, one delivery at a time."""

from __future__ import annotations

import asyncio

from aioqueue.protocols.backend import Backend
from aioqueue.protocols.lease import Lease
from aioqueue.protocols.messages import Delivery, Ending, Record, Start
from tests.support.waiting import within


async def beat(lease: Lease) -> bool:
    """Beat from another thread, as a worker does."""
    return await within(asyncio.to_thread(lease.beat))


async def alive(backend: Backend, owner: str, *, seconds: float) -> Lease:
    """Return *owner*'s lease after its first beat."""
    lease = backend.lease(owner, seconds=seconds)
    await beat(lease)
    return lease


async def claim(backend: Backend, delivery: Delivery, owner: str) -> Start:
    """Claim one delivery; the worker's name tells whose it is."""
    (start,) = await backend.claim([delivery], owner=owner, worker=f"worker of {owner}")
    return start


async def commit(backend: Backend, ending: Ending, owner: str) -> bool:
    """Commit one ending; True if it was this one's to end."""
    (committed,) = await backend.commit([ending], owner=owner)
    return committed is not None


async def record_of(backend: Backend, delivery: Delivery) -> Record:
    """Return the task's record, which must be there."""
    (record,) = await backend.get([delivery.message.id])
    assert record is not None
    return record

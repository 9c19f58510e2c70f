"""What a broker says of one queue."""

from __future__ import annotations

from aioqueue.models.stats import DeadLetter, QueueStats
from aioqueue.protocols.broker import Broker


async def counts(broker: Broker, queue: str) -> QueueStats:
    """Return what the queue holds."""
    (stats,) = await broker.stats([queue])
    return stats


async def buried(broker: Broker, queue: str) -> list[DeadLetter]:
    """Return the queue's dead letters, newest first."""
    return [letter for letter in await broker.dead_letters() if letter.queue == queue]

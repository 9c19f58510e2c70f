"""A store that is broker and backend in one, as one-step tests hold it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aioqueue.models.state import State
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.broker import Broker, Consumer
from aioqueue.protocols.finisher import Finisher, Submitter
from aioqueue.protocols.messages import Delivery, Ending, Message, Record
from aioqueue.protocols.unique import Answer
from tests.support.stores import lacks
from tests.support.waiting import one


@dataclass(frozen=True, slots=True)
class Hand:
    """A consumer, and the one-step finisher by which it starts and ends tasks."""

    consumer: Consumer
    finisher: Finisher

    async def one(self) -> Delivery:
        """Return the next delivery."""
        return await one(self.consumer)

    async def end(self, delivery: Delivery, state: State = State.SUCCESS, **what: Any) -> bool:
        """End *delivery*; True if it was this one's to end."""
        (finished,) = await self.finisher.finish([ending(delivery, state, **what)])
        return finished


@dataclass(frozen=True, slots=True)
class OneStep:
    """One store's broker and backend, and the submitter they share."""

    broker: Broker
    backend: Backend
    submitter: Submitter

    @asynccontextmanager
    async def hand(
        self,
        *queues: str,
        lease: float = 600.0,
        worker: str = "w",
        prefetch: int = 1_000,
        limited: Collection[str] = (),
    ) -> AsyncIterator[Hand]:
        """Take part in *queues*, starting and ending tasks in one step; *limited* ones start as admitted."""
        async with self.broker.consume(queues, prefetch=prefetch, lease=lease, worker=worker) as consumer:
            finisher = consumer.finisher(self.backend, limited=limited)
            assert finisher is not None
            yield Hand(consumer, finisher)

    async def submit(self, *messages: Message, limit: int | None = None) -> list[Answer]:
        """Send new tasks."""
        return list(await self.submitter.submit(messages, limit=limit))

    async def record(self, id: str) -> Record:
        """Return the task's record, which must be there."""
        (record,) = await self.backend.get([id])
        assert record is not None
        return record

    async def gone(self, id: str) -> bool:
        """Tell whether the task has no record that is shown."""
        return await self.backend.get([id]) == [None]


def one_step(broker: Broker, backend: Backend) -> OneStep:
    """Return the two as one store; if they are none there is nothing to prove."""
    submitter = broker.submitter(backend)
    if submitter is None:
        lacks("has no one-step submitter and finisher")
    return OneStep(broker, backend, submitter)


def ending(delivery: Delivery, state: State = State.SUCCESS, **what: Any) -> Ending:
    """Return what *delivery* came to."""
    return Ending(delivery, state, **what)

"""Broker and Consumer: where messages wait, and the hands that take them.

The unsettled delivery is the outbox: until it is settled, whatever its end should have published
can be published again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from aioqueue.models.stats import (
    DeadLetter,
    LetterPage,
    QueueEntry,
    QueuePage,
    QueueStats,
    ServiceInfo,
    Where,
)
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.capabilities import Capabilities
from aioqueue.protocols.finisher import Finisher, Submitter
from aioqueue.protocols.lease import Lease
from aioqueue.protocols.limits import Limits
from aioqueue.protocols.messages import Delivery, Message, Settlement, When


@dataclass(frozen=True, slots=True)
class Order:
    """Which of several queues is served next. Within a queue higher priorities come first.

    weights: one a queue, from 1: while several have work their shares are as these. strict: the first
    queue that has work comes first. With neither, higher priorities come first across all of them, and none
    of them waits for ever.
    """

    weights: tuple[int, ...] = ()
    strict: bool = False


FAIR: Final = Order()
"""No queue before another."""


class Consumer(Protocol):
    """One process's hold on some queues."""

    @property
    def id(self) -> str:
        """Its name among consumers, never used twice."""
        ...

    async def receive(self, limit: int, *, timeout: float) -> list[Delivery]:
        """Return 1 to *limit* deliveries as soon as there are any, or none after *timeout* s.

        Nothing of a queue that is paused. Higher priorities come first, but for every GUARD-th slot
        (``aioqueue.turns``) while lower ones wait. Of suspects, which SUSPECT workers or more have died
        with, it hands out one at a time: what
        waits behind a suspect in the same process would be counted with its crash.
        Never cancelled by its caller: ``wake`` makes it return.
        """
        ...

    def wake(self) -> None:
        """Make a waiting ``receive`` return at once; the next one waits again."""
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[bool]:
        """Forget each delivery and publish what follows, in one step each.

        False: another consumer holds it, or none; then nothing was published.
        """
        ...

    async def release(self, deliveries: Sequence[Delivery], *, delay: float = 0.0) -> None:
        """Give back, nothing counted, before what waits; not handed out for *delay* s."""
        ...

    async def admit(self, asks: Sequence[tuple[Delivery, Limits]]) -> Sequence[bool]:
        """Tell of each delivery whether it may start now, by the limits of its task and the store's clock.

        One that may not is given back in the same step, nothing counted: until its turn, which is then its
        own, or parked until one of the slots is free, by whatever end of what has it; for PARKED s at most,
        then it is handed out and asks again. What was admitted has its slot for as long as this consumer
        holds it. To ask again for what has one is safe. In one store the start of what is admitted is
        written in the same step, and what has ended, or was cancelled, meanwhile is forgotten and no.
        """
        ...

    def lease(self) -> Lease:
        """Return the lease under which this consumer holds its deliveries."""
        ...

    def finisher(self, backend: Backend, *, limited: Collection[str] = ()) -> Finisher | None:
        """Return the one-step finisher if *backend* is the same store; called once, before receive.

        limited: names of tasks, which may grow; they have begun when they are admitted, and not before.
        """
        ...


class Broker(Protocol):
    """A service that keeps messages until they are settled. Methods raise BrokerUnavailableError."""

    @property
    def capabilities(self) -> Capabilities: ...

    async def open(self) -> None: ...

    async def close(self) -> None:
        """Close its connections; idempotent, and ``open`` may follow."""
        ...

    def submitter(self, backend: Backend) -> Submitter | None:
        """Return the one-step submitter if *backend* is the same store."""
        ...

    async def publish(self, messages: Sequence[Message]) -> Sequence[bool]:
        """Add messages, all or none; False for each that is a copy of one that waits or is held."""
        ...

    async def reschedule(self, queue: str, id: str, attempt: int, when: When) -> bool:
        """Give the delayed message of *attempt*, or the next one, another moment; False if none is delayed.

        One that is due then is handed out at once, also by who sleeps until a later moment.
        """
        ...

    def consume(
        self, queues: Sequence[str], *, prefetch: int, lease: float, worker: str, order: Order = FAIR
    ) -> AbstractAsyncContextManager[Consumer]:
        """Take part in *queues*, holding at most *prefetch* deliveries.

        lease: seconds it is believed without a beat. worker: the name written into records. order: which
        of them is served next.
        Leaving the context drops the lease; what is still held then runs elsewhere.
        """
        ...

    async def maintain(self) -> int:
        """Do one round of upkeep: hand on what lapsed leases held, drop what is past its time.

        Returns the number of messages handed on.
        """
        ...

    async def bury(self, consumer: str) -> int:
        """End the lease of a consumer that is known to be dead, and hand on at once what it held.

        Each begun delivery is counted as a loss, as ``maintain`` does for a lapsed lease. No doubt
        about a clock keeps it from that: whoever calls it knows. Idempotent; an unknown consumer is 0.
        Returns the number of messages handed on.
        """
        ...

    async def pause(self, queue: str) -> bool:
        """Hand out nothing of *queue* from the moment this returns; False if it was paused before.

        What is held goes on, sends are accepted, what is delayed becomes due and waits. It is kept until
        ``resume``, whatever restarts.
        """
        ...

    async def resume(self, queue: str) -> bool:
        """Hand out what waits in *queue* again, and wake who waits for it; False if it was not paused."""
        ...

    async def health(self) -> Sequence[str]:
        """Return what a person who starts a worker should know of the service as it is set up.

        A sentence each. Raises ConfigurationError where tasks could be dropped.
        """
        ...

    async def about(self) -> ServiceInfo:
        """Return what the service is: its version, its time, and how it is set up."""
        ...

    async def stats(self, queues: Sequence[str] = ()) -> list[QueueStats]:
        """Count the messages of *queues*; of every queue when none is named."""
        ...

    async def inspect(
        self, queue: str, where: Where, *, after: str | None = None, limit: int = 100, bodies: bool = False
    ) -> QueuePage:
        """Return a page of what is in *queue*, at most *limit*, in the order in which it comes up.

        after: the ``next`` of the page before. What stays where it is while others come and go is listed
        once. What is due and was not made ready may still be listed as delayed. Raises ConfigurationError
        for a text that is no cursor.
        """
        ...

    async def remove(self, entries: Sequence[QueueEntry]) -> int:
        """Forget the messages of these that still wait where they were found; return how many.

        Nothing is written about their tasks.
        """
        ...

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        """Return the newest dead letters, newest first."""
        ...

    async def letters(
        self, *, queue: str | None = None, after: str | None = None, limit: int = 100
    ) -> LetterPage:
        """Return a page of the dead letters, of *queue* alone if one is named; newest first.

        A page may have fewer than *limit* although there are more.
        """
        ...

    async def discard(self, keys: Sequence[str]) -> int:
        """Drop the dead letters of these keys; return how many there were."""
        ...

"""Broker and Consumer: where messages wait, and the hands that take them.

The unsettled delivery is the outbox: until it is settled, whatever its end should have published
can be published again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from aioqueue.models.stats import DeadLetter, QueueStats, ServiceInfo
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.capabilities import Capabilities
from aioqueue.protocols.finisher import Finisher, Submitter
from aioqueue.protocols.lease import Lease
from aioqueue.protocols.messages import Delivery, Message, Settlement


class Consumer(Protocol):
    """One process's hold on some queues."""

    @property
    def id(self) -> str:
        """Its name among consumers, never used twice."""
        ...

    async def receive(self, limit: int, *, timeout: float) -> list[Delivery]:
        """Return 1 to *limit* deliveries as soon as there are any, or none after *timeout* s.

        Of suspects, which SUSPECT workers or more have died with, it hands out one at a time: what
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

    def lease(self) -> Lease:
        """Return the lease under which this consumer holds its deliveries."""
        ...

    def finisher(self, backend: Backend) -> Finisher | None:
        """Return the one-step finisher if *backend* is the same store; called once, before receive."""
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

    def consume(
        self, queues: Sequence[str], *, prefetch: int, lease: float, worker: str
    ) -> AbstractAsyncContextManager[Consumer]:
        """Take part in *queues*, holding at most *prefetch* deliveries.

        lease: seconds it is believed without a beat. worker: the name written into records.
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

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        """Return the newest dead letters, newest first."""
        ...

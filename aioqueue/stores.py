"""Stores: a broker, a backend and a shared map, opened and closed together.

The Server makes them from URLs; dispatcher and worker take them, so that neither knows a Server.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from aioqueue import answers
from aioqueue.clock import Clock, SystemClock
from aioqueue.coalescer import Coalescer
from aioqueue.dispatch import Dispatcher, TwoStepSubmitter
from aioqueue.errors import ConfigurationError
from aioqueue.models.origin import Origin
from aioqueue.models.settings import Settings
from aioqueue.models.state import Cancellation, RescheduleOutcome, State
from aioqueue.packing import Packer
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.broker import Broker
from aioqueue.protocols.finisher import Submitter
from aioqueue.protocols.messages import When
from aioqueue.protocols.store import Store
from aioqueue.results import Reading, Results
from aioqueue.tree import cancellation
from aioqueue.urls import connect

CANCELLED_TTL: Final = 86_400.0
"""Seconds that a record is shown which a cancel has ended."""


@dataclass(frozen=True, slots=True)
class Stores:
    """What a deployment keeps its tasks in. upkeep: the brokers that want maintenance rounds."""

    broker: Broker
    backend: Backend
    store: Store | None
    upkeep: tuple[Broker, ...]
    urls: tuple[str, str]
    clock: Clock

    @property
    def one_step(self) -> bool:
        """True where broker and backend are one store."""
        return self.broker.submitter(self.backend) is not None

    async def open(self) -> None:
        """Open both, or neither.

        Raises BrokerUnavailableError, BackendUnavailableError, ConfigurationError.
        """
        await self.broker.open()
        try:
            await self.backend.open()
        except BaseException:
            await self.broker.close()
            raise

    async def close(self) -> None:
        """Close both; idempotent."""
        try:
            await self.backend.close()
        finally:
            await self.broker.close()

    def submitter(self) -> Submitter:
        """Return what sends into them, in one step where they are one store; concurrent sends share it."""
        return Coalescer(self.broker.submitter(self.backend) or TwoStepSubmitter(self.broker, self.backend))

    def dispatcher(self, settings: Settings, reading: Callable[[str], Reading]) -> Dispatcher:
        """Return what sends calls into them. reading: how the result of a task of that name is read."""
        return Dispatcher(
            self.broker,
            self.submitter(),
            Packer(settings.queue, settings.max_payload, settings.routes),
            self.results(),
            reading,
            clock=self.clock,
            limit=settings.max_queue,
        )

    def results(self) -> Results:
        """Return where results are read."""
        return Results(self.backend, self.store, self.clock, self._cancel, self._reschedule)

    async def _cancel(self, id: str) -> Cancellation:
        (record,) = await self.backend.get([id])
        ran = record is not None and record.state is State.STARTED and record.plan is None
        (outcome,) = await self.submitter().cancel([id], ttl=CANCELLED_TTL)
        cancelled = await cancellation(self.backend, id, outcome)
        if not (ran and cancelled):
            return cancelled
        return cancelled.model_copy(update={"interrupted": await answers.answer(self.store, id)})

    async def _reschedule(self, id: str, when: When) -> RescheduleOutcome:
        outcome = await self.submitter().reschedule(id, when)
        if outcome is RescheduleOutcome.NOT_FOUND and await self.backend.workflow(id) is not None:
            # it has begun: its nodes wait, each under its own id
            return RescheduleOutcome.NOT_WAITING
        return outcome


def stores_of(
    settings: Settings, *, clock: Clock | None = None, origins: Mapping[str, Origin] = MappingProxyType({})
) -> Stores:
    """Return the stores that *settings* name. Raises ConfigurationError that says where they are named."""
    with _said_in(origins.get("broker")):
        front = connect(settings.broker, clock=clock)
        if front.broker is None:
            raise ConfigurationError(f"{front.url} is no broker; name one, as broker='redis://…'")
    same = settings.backend is None or settings.backend == settings.broker
    with _said_in(origins.get("broker" if settings.backend is None else "backend")):
        back = front if same else connect(str(settings.backend), clock=clock)
        if back.backend is None:
            raise ConfigurationError(f"{back.url} keeps no results; name a backend, as backend='redis://…'")
    upkeep = tuple(dict.fromkeys(adapter.broker for adapter in (front, back) if adapter.broker is not None))
    return Stores(
        broker=front.broker,
        backend=back.backend,
        store=front.store or back.store,
        upkeep=upkeep,
        urls=(front.url, back.url),
        clock=clock or SystemClock(),
    )


@contextmanager
def _said_in(origin: Origin | None) -> Generator[None, None, None]:
    """Let an error within begin with the place and the name of the setting it is about."""
    try:
        yield
    except ConfigurationError as exc:
        if origin is not None and origin.place is not None:
            exc.args = (f"{origin.prefix}setting {origin.written!r}: {exc}",)
        raise

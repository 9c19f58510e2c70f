"""Workflows as tests run them, over one store in one step and over two stores in two.

A node's message carries the name of its call; what ends it is said by the test.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from aioqueue.canvas import Plan, compiled
from aioqueue.codec import decode_error, decode_value, encode_error, encode_value
from aioqueue.dispatch import TwoStepSubmitter
from aioqueue.ids import new_id
from aioqueue.layout import Stead
from aioqueue.models.signature import Signature
from aioqueue.models.state import ErrorInfo, State
from aioqueue.models.workflow import Group
from aioqueue.opener import pages
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.broker import Broker, Consumer
from aioqueue.protocols.finisher import Finisher, Submitter
from aioqueue.protocols.flow import OPEN, Kind, Opening, Page
from aioqueue.protocols.messages import Delivery, Ending, Message, Record, Verdict
from aioqueue.worker.two_step import TwoStepFinisher
from tests.support.clocks import MovableClock
from tests.support.stores import lacks
from tests.support.waiting import ready

LEASE = 600.0


def failure(text: str) -> bytes:
    """Return an error as it is on record."""
    return encode_error(ErrorInfo(type="ValueError", message=text))


@dataclass(frozen=True, slots=True)
class Crew:
    """One worker: a consumer, and what starts and ends its tasks."""

    consumer: Consumer
    finisher: Finisher

    async def take(self) -> dict[str, Delivery]:
        """Start all that is ready and may run; return it by the names of its calls."""
        return {delivery.message.name: delivery for delivery in await self.take_all()}

    async def take_all(self) -> list[Delivery]:
        """Start all that is ready and may run; look again where none of it may."""
        while deliveries := await ready(self.consumer):
            starts = await self.finisher.begin(deliveries)
            running = [d for d, s in zip(deliveries, starts, strict=True) if s.verdict is Verdict.RUN]
            if running:
                return running
        return []

    async def end(self, delivery: Delivery, state: State = State.SUCCESS, **what: Any) -> bool:
        """End one delivery; its value is the name of its call unless another is given."""
        (done,) = await self.finisher.finish([ended(delivery, state, **what)])
        return done

    async def go_on(self, delivery: Delivery, plan: Plan, **what: Any) -> bool:
        """Let the task of a delivery go on as a workflow that is kept."""
        return await self.end(delivery, State.STARTED, opening=opening(plan), **what)

    async def fail(self, delivery: Delivery, text: str = "no", **what: Any) -> bool:
        """End one delivery as a failure."""
        return await self.end(delivery, State.FAILURE, error=failure(text), **what)

    async def run(self) -> list[str]:
        """End all that is ready, and what that makes ready, with success; return the names of the calls."""
        names: list[str] = []
        while batch := await self.take_all():
            await self.finisher.finish([ended(delivery) for delivery in batch])
            names += [delivery.message.name for delivery in batch if delivery.message.name != OPEN]
        return names


def ended(delivery: Delivery, state: State = State.SUCCESS, **what: Any) -> Ending:
    """Return what *delivery* came to."""
    if state is State.SUCCESS:
        what.setdefault("value", f'"{delivery.message.name}"'.encode())
    return Ending(delivery, state, **what)


@dataclass(frozen=True, slots=True)
class Works:
    """A place where workflows run. one_step: it is one store. brokers: of all stores, for their upkeep."""

    broker: Broker
    backend: Backend
    submitter: Submitter
    clock: MovableClock
    queue: str
    one_step: bool
    brokers: tuple[Broker, ...] = ()

    async def maintain(self) -> None:
        """Make a round in every store."""
        for broker in self.brokers or (self.broker,):
            await broker.maintain()

    @asynccontextmanager
    async def crew(self, *, lease: float = LEASE, prefetch: int = 2_000) -> AsyncIterator[Crew]:
        """Take part in the queue."""
        context = self.broker.consume([self.queue], prefetch=prefetch, lease=lease, worker="w")
        async with context as consumer:
            yield Crew(consumer, self._finisher(consumer, lease))

    def compiled(
        self,
        call: Signature,
        *,
        id: str | None = None,
        stead: Stead | None = None,
        queues: Mapping[int, str] = MappingProxyType({}),
    ) -> Plan:
        """Return *call* as stores keep it, as a task goes on in whose *stead* it runs.

        queues: of nodes that wait in another one, by their numbers.
        """

        def pack(node: Signature, id: str, source: str | None) -> Message:
            body = (source or "").encode()
            queue = queues.get(int(id.rpartition(".")[2]), self.queue)
            return Message(id, node.name, queue, body, priority=node.priority, delay=node.delay)

        return compiled(call, id=id or new_id(), pack=pack, stead=stead)

    async def keep(self, plan: Plan) -> None:
        """Keep all of it."""
        for page in pages(plan):
            await self.backend.plan(page)

    def pages(self, plan: Plan) -> list[Page]:
        """Return *plan* as it is kept."""
        return list(pages(plan))

    async def open(self, plan: Plan) -> bool:
        """Open what is kept."""
        return await self.submitter.open_workflow(opening(plan))

    async def instead(self, delivery: Delivery, call: Signature, **calls: tuple[Signature, ...]) -> Plan:
        """Keep *call*, as which the task of a delivery is to go on; *calls* are released when it ends."""
        message = delivery.message
        plan = self.compiled(call, id=f"{message.id}.{message.attempt}", stead=Stead(message.id, **calls))
        await self.keep(plan)
        return plan

    async def send(self, call: Signature) -> Plan:
        """Keep and open *call*."""
        plan = self.compiled(call)
        await self.keep(plan)
        await self.open(plan)
        return plan

    def nodes(self, plan: Plan) -> dict[str, str]:
        """Return the ids of all nodes, by the names of their calls."""
        return {node.message.name: node.message.id for node in plan.nodes}

    async def record(self, id: str) -> Record:
        """Return a record, which must be there."""
        (record,) = await self.backend.get([id])
        assert record is not None
        return record

    async def states(self, plan: Plan) -> dict[str, State | None]:
        """Return the states of all nodes, by the names of their calls."""
        records = await self.backend.get([node.message.id for node in plan.nodes])
        return {
            node.message.name: None if record is None else record.state
            for node, record in zip(plan.nodes, records, strict=True)
        }

    async def value(self, join: str) -> Any:
        """Return what a join has, page by page; an error as its message in a tuple, None if not there."""
        values: list[Any] = []
        while True:
            found = await self.backend.members(join, len(values), 150)
            if found is None:
                return None
            for member in found.members:
                match member and member.kind:
                    case None:
                        values.append(...)
                    case Kind.VALUE:
                        values.append(decode_value(member.data) if member else None)
                    case Kind.ERROR:
                        values.append((decode_error(member.data).message if member else "",))
                    case Kind.JOIN:
                        values.append(await self.value(member.data.decode() if member else ""))
            if len(values) >= found.size:
                return values[0] if found.single else values

    async def is_gone(self, plan: Plan) -> bool:
        """Tell whether nothing of a workflow is shown or kept any more."""
        joins = [join.id for join in plan.joins]
        records = await self.backend.get([*(node.message.id for node in plan.nodes), *joins])
        values = [await self.backend.members(join, 0, 1) for join in joins]
        whole = await self.backend.workflow(plan.id)
        return whole is None and not any(records) and not any(values)

    async def error(self, id: str) -> str:
        """Return the message of the failure on record."""
        record = await self.record(id)
        assert record.state is State.FAILURE
        assert record.error is not None
        return decode_error(record.error).message

    def _finisher(self, consumer: Consumer, lease: float) -> Finisher:
        if not self.one_step:
            self.backend.lease(consumer.id, seconds=lease).beat()
            return TwoStepFinisher(consumer, self.backend, "w")
        finisher = consumer.finisher(self.backend)
        assert finisher is not None
        return finisher


def opening(plan: Plan) -> Opening:
    """Return how *plan* starts."""
    outline = encode_value(plan.outline)
    return Opening(plan.id, plan.start, plan.full, plan.result, plan.root, outline, plan.ttl)


def works_of_one(broker: Broker, backend: Backend, clock: MovableClock, queue: str) -> Works:
    """Return a place in one store."""
    submitter = broker.submitter(backend)
    if submitter is None:
        lacks("has no one-step submitter and finisher")
    return Works(broker, backend, submitter, clock, queue, one_step=True)


def works_of_two(broker: Broker, backend: Backend, clock: MovableClock, queue: str) -> Works:
    """Return a place in two stores, or in one as if it were two."""
    return Works(broker, backend, TwoStepSubmitter(broker, backend), clock, queue, one_step=False)


def calls(names: str) -> list[Signature[Any]]:
    """Return a complete call for each letter."""
    return [Signature(name=name, takes="none") for name in names]


def many(*members: Signature[Any]) -> Group[Any]:
    """Return the group of *members*."""
    return Group(members=members)


def retry_of(delivery: Delivery) -> Message:
    """Return the next attempt."""
    return replace(delivery.message, attempt=delivery.message.attempt + 1)


def names_of(deliveries: Sequence[Delivery]) -> list[str]:
    """Return the names of the calls, in order."""
    return [delivery.message.name for delivery in deliveries]

"""Values of a workflow travel in no message: who takes them reads them, on every pair of stores."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from aioqueue import Server, chain, group
from aioqueue.protocols.broker import FAIR, Broker, Order
from aioqueue.protocols.flow import PAGE
from aioqueue.protocols.messages import Delivery, Message
from tests.support.faulty import FaultyBroker, FaultyConsumer
from tests.support.waiting import within

MARK = "so that it is found wherever it goes "
MEMBERS = PAGE + 20


class WatchedConsumer(FaultyConsumer):
    """A consumer that remembers what it was handed."""

    handed: list[Message]

    async def receive(self, limit: int, *, timeout: float) -> list[Delivery]:
        deliveries = await super().receive(limit, timeout=timeout)
        self.handed += [delivery.message for delivery in deliveries]
        return deliveries


class WatchedBroker(FaultyBroker):
    """A broker that remembers all that any of its consumers was handed."""

    def __init__(self, real: Broker) -> None:
        super().__init__(real)
        self.handed: list[Message] = []

    @asynccontextmanager
    async def consume(
        self, queues: Sequence[str], *, prefetch: int, lease: float, worker: str, order: Order = FAIR
    ) -> AsyncIterator[FaultyConsumer]:
        context = super().consume(queues, prefetch=prefetch, lease=lease, worker=worker, order=order)
        async with context as consumer:
            watched = WatchedConsumer(consumer.real, consumer.faults)
            watched.handed = self.handed
            yield watched


@pytest.mark.anyio
async def test_no_message_has_the_value_of_another_task(server: Server) -> None:
    stores, broker = server.stores, WatchedBroker(server.stores.broker)
    upkeep = tuple(broker if each is stores.broker else each for each in stores.upkeep)
    server.stores = replace(stores, broker=broker, upkeep=upkeep)

    @server.task
    async def first() -> str:
        return MARK * 10

    @server.task
    async def member(number: int, taken: str) -> str:
        return f"{number} {taken}"

    @server.task
    async def lengths(values: list[str]) -> list[int]:
        return [len(value) for value in values]

    members = group(member.p(number) for number in range(MEMBERS))
    async with server, server.worker():
        value = await within((await chain(first.s(), members, lengths.p()).send()).get(), deadline=60)

    assert value == [len(f"{number} {MARK * 10}") for number in range(MEMBERS)]
    assert len({message.id for message in broker.handed}) >= MEMBERS + 2
    assert [message.id for message in broker.handed if MARK.encode() in message.body] == []

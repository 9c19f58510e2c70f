"""One suite over all stores: ``test_x[sqlite]``, and ``test_x[memory+sqlite]`` for pairs.

Tests know protocols only; which adapter they meet is decided here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from aioqueue.ids import new_id
from aioqueue.protocols.adapter import Adapter
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.broker import Broker, Consumer
from aioqueue.protocols.messages import Delivery
from aioqueue.protocols.store import Store
from tests.support.clocks import MovableClock
from tests.support.flows import Works, works_of_one, works_of_two
from tests.support.onestep import Hand, OneStep, one_step
from tests.support.stores import (
    Implementation,
    Pair,
    Place,
    backend_of,
    broker_of,
    clock_for,
    over_pairs,
    over_stores,
    over_two_steps,
    place,
    store_of,
)
from tests.support.waiting import lent, message

LONG_LEASE = 600.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Do not even begin tests that let days pass over a store that keeps its own time."""
    served = pytest.mark.xfail(
        run=False, reason="this store keeps its own time, and days are too long to wait"
    )
    for item in items:
        if item.get_closest_marker("days") is not None and _is_served(item):
            item.add_marker(served)


def _is_served(item: pytest.Item) -> bool:
    """Tell whether any store that a test is over is a service."""
    if not isinstance(item, pytest.Function):
        return False
    stores: list[object] = []
    for given in item.callspec.params.values():
        stores += cast("tuple[object, ...]", given) if isinstance(given, tuple) else (given,)
    return any(isinstance(store, Implementation) and store.service is not None for store in stores)


@pytest.fixture
def queue() -> str:
    """A queue that no other test uses."""
    return f"queue-{new_id()}"


@pytest.fixture(params=over_stores())
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where this test's store is; it is looked through for leaks afterwards."""
    implementation: Implementation = request.param
    site = place(implementation, tmp_path, clock_for(implementation))
    yield site
    site.check()


@pytest.fixture
def clock(site: Place) -> MovableClock:
    """The clock by which the store tells the time."""
    return site.clock


@pytest.fixture
async def adapter(site: Place) -> AsyncIterator[Adapter]:
    """The store, open."""
    async with site.opened() as adapter:
        yield adapter


@pytest.fixture
def broker(adapter: Adapter) -> Broker:
    """The store's broker, open."""
    return broker_of(adapter)


@pytest.fixture
async def consumer(broker: Broker, queue: str) -> AsyncIterator[Consumer]:
    """A consumer of the queue whose lease no test outlives."""
    async with broker.consume([queue], prefetch=1_000, lease=LONG_LEASE, worker="worker-1") as consumer:
        yield consumer


@pytest.fixture
async def rival(broker: Broker, queue: str, consumer: Consumer) -> AsyncIterator[Consumer]:
    """Another consumer of the same queue."""
    async with broker.consume([queue], prefetch=1_000, lease=LONG_LEASE, worker="worker-2") as rival:
        yield rival


@pytest.fixture
def backend(adapter: Adapter) -> Backend:
    """The store's backend, open."""
    return backend_of(adapter)


@pytest.fixture
def shop(broker: Broker, backend: Backend) -> OneStep:
    """Broker and backend as the one store they are."""
    return one_step(broker, backend)


@pytest.fixture
async def hand(shop: OneStep, queue: str) -> AsyncIterator[Hand]:
    """A consumer of the queue that starts and ends tasks in one step; no test outlives its lease."""
    async with shop.hand(queue, lease=LONG_LEASE, worker="worker-1") as hand:
        yield hand


@pytest.fixture
def first(queue: str) -> Delivery:
    """The first attempt of a task."""
    return lent(message(queue, sent=12.5))


@pytest.fixture
def second(first: Delivery) -> Delivery:
    """The second attempt of the same task."""
    return lent(replace(first.message, attempt=2))


@pytest.fixture
def owner() -> str:
    """A claimant nobody else is."""
    return new_id()


@pytest.fixture
def store(adapter: Adapter) -> Store:
    """The store's small shared map, open."""
    return store_of(adapter)


@pytest.fixture(params=over_pairs())
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    """A broker and a backend, open: every pair of stores."""
    first, second = request.param
    clock = clock_for(first, second)
    async with AsyncExitStack() as stack:
        places = [place(store, tmp_path, clock) for store in dict.fromkeys((first, second))]
        for each in places:
            stack.callback(each.check)
        one, *others = [await stack.enter_async_context(each.opened()) for each in places]
        other = others[0] if others else one
        yield Pair(broker_of(one), backend_of(other), clock, one_store=first is second)


@pytest.fixture(params=[*over_stores(), *over_two_steps()])
async def works(request: pytest.FixtureRequest, tmp_path: Path, queue: str) -> AsyncIterator[Works]:
    """Where workflows run: every store in one step, and every pair of stores in two."""
    stores = (request.param,) if isinstance(request.param, Implementation) else request.param
    clock = clock_for(*stores)
    async with AsyncExitStack() as stack:
        places = [place(store, tmp_path, clock) for store in dict.fromkeys(stores)]
        for each in places:
            stack.callback(each.check)
        one, *others = [await stack.enter_async_context(each.opened()) for each in places]
        other = others[0] if others else one
        build = works_of_one if len(stores) == 1 else works_of_two
        works = build(broker_of(one), backend_of(other), clock, queue)
        yield replace(works, brokers=(works.broker, *map(broker_of, others)))

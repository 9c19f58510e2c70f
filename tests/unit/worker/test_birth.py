"""What a process says of itself in the shared map, and what its supervisor makes of it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from aioqueue import Server, Signature
from aioqueue.errors import UnavailableError
from aioqueue.ids import new_id
from aioqueue.models.state import State
from aioqueue.protocols.store import Store
from aioqueue.testing import VirtualClock
from aioqueue.worker.birth import BIRTHS, TTL, Birth, bury
from tests.support.faulty import Faults, FaultyBackend, FaultyBroker
from tests.support.stores import Implementation, over_pairs
from tests.support.waiting import one, pause, ready, within

pytestmark = pytest.mark.anyio


@pytest.fixture(params=over_pairs())
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    """An open Server."""
    first, second = request.param
    assert isinstance(first, Implementation)
    backend = None if first is second else second.url(tmp_path)
    async with Server(first.url(tmp_path), backend=backend) as server:
        yield server


def shared(server: Server) -> Store:
    assert server.stores.store is not None
    return server.stores.store


async def births(server: Server) -> dict[str, str]:
    """Return what stands in the shared map."""
    return {key: value.decode() for key, value in (await shared(server).list(BIRTHS)).items()}


async def test_supervised_worker_says_which_consumer_it_is_until_it_ends(server: Server) -> None:
    birth = new_id()
    async with server.worker(birth=birth) as worker:
        assert worker._term is not None
        consumer = worker._term._consumer.id
        living = await births(server)

    assert living == {BIRTHS + birth: consumer}
    assert await births(server) == {}


async def test_worker_that_nobody_supervises_says_nothing(server: Server) -> None:
    async with server.worker():
        assert await births(server) == {}


async def test_entry_is_renewed_and_does_not_outlive_its_day() -> None:
    clock, id = VirtualClock(), new_id()
    async with Server("memory://births", clock=clock) as server:
        birth = Birth(server.stores.store, id)
        await birth.tell("consumer-1")
        await clock.advance(TTL - 60)
        await birth.renew()
        await clock.advance(TTL - 60)
        kept = await births(server)
        await clock.advance(61)

        assert kept == {BIRTHS + id: "consumer-1"}
        assert await births(server) == {}


async def test_living_worker_renews_its_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, id, ttl = VirtualClock(), new_id(), 600.0
    # a worker that is idle looks for work too often to be followed for a day
    monkeypatch.setattr("aioqueue.worker.birth.TTL", ttl)
    async with Server("memory://renewals", clock=clock) as server:
        async with server.worker(birth=id, sweep=0.02, lease=1e6):
            before = dict(await births(server))
            await clock.advance(ttl - 1)
            await pause(0.2)
            await clock.advance(2)

            assert list(before) == list(await births(server)) == [BIRTHS + id]


async def test_new_term_takes_the_place_of_the_last_one(server: Server) -> None:
    id = new_id()
    birth = Birth(shared(server), id)
    await birth.tell("consumer-1")
    await birth.tell("consumer-2")

    assert await births(server) == {BIRTHS + id: "consumer-2"}


async def test_dead_process_is_buried_and_its_task_runs_elsewhere(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    stores, birth = server.stores, new_id()
    result = await server.send(Signature(name="any"))
    async with stores.broker.consume(["default"], prefetch=9, lease=600, worker="dead") as dead:
        # as a process does that is killed before it leaves
        await Birth(stores.store, birth).tell(dead.id)
        one_step = dead.finisher(stores.backend) is not None
        lost = await one(dead)
        if not one_step:
            stores.backend.lease(dead.id, seconds=600).beat()
            await stores.backend.claim([lost], owner=dead.id, worker="dead")

        with caplog.at_level(logging.WARNING, "aioqueue.worker"):
            await bury(stores, birth)
            await bury(stores, birth)
        again = await ready(dead)
        server.register_task("any", _one)
        async with server.worker():
            value = await within(result.get())
        state = await result.state()

    assert again == []
    assert value == 1
    assert (state.state, state.losses) == (State.SUCCESS, 1)
    assert await births(server) == {}
    assert [record.getMessage() for record in caplog.records] == [
        "handed on 1 tasks of a worker process that died"
    ]


async def test_burial_without_a_shared_map_or_an_entry_does_nothing(server: Server) -> None:
    faults = Faults()
    broker, backend = (
        FaultyBroker(server.stores.broker, faults),
        FaultyBackend(server.stores.backend, faults),
    )
    stores = replace(server.stores, broker=broker, backend=backend)

    await bury(stores, new_id())
    await bury(replace(stores, store=None), new_id())

    assert faults.names() == []


async def test_burial_that_was_cut_off_is_repeated(server: Server) -> None:
    broker = FaultyBroker(server.stores.broker, Faults(fail={"bury": 1}))
    stores, birth = replace(server.stores, broker=broker), new_id()
    await Birth(stores.store, birth).tell("consumer-1")

    with pytest.raises(UnavailableError):
        await bury(stores, birth)
    left = await births(server)
    await bury(stores, birth)

    assert left == {BIRTHS + birth: "consumer-1"}
    assert await births(server) == {}


async def _one() -> int:
    return 1

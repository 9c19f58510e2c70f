"""A purge, or a requeue, that dies at any call of a store: the next one finishes it, and nothing is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aioqueue import Server, Signature, chain
from aioqueue.dispatch import TwoStepSubmitter
from aioqueue.letters import DeadLetters
from aioqueue.models.state import State
from aioqueue.models.stats import Where
from aioqueue.protocols.messages import Message, Settlement
from aioqueue.queues import purged
from tests.integration.conftest import opened, server
from tests.support.faulty import Crash, Faults, FaultyBackend, FaultyBroker
from tests.support.waiting import one, within

__all__ = ["opened", "server"]

pytestmark = pytest.mark.anyio

ALL = [Where.DELAYED, Where.PENDING]


async def filled(server: Server, queue: str) -> list[str]:
    """Send tasks to *queue*, some without a record and one that tells of its failure; return their ids."""
    call = Signature(name="run", takes="none").options(queue=queue)
    steps = chain(call, call).options(on_error=Signature(name="tell").options(queue=f"{queue}-told"))
    sent = await server.send_many(
        [call, call, call.options(delay=600), call.options(priority=3), call.options(ignore_result=True)]
    )
    await server.send(steps)
    return [result.id for result in sent[:4]]


async def purge(server: Server, queue: str, faults: Faults) -> None:
    broker, backend = FaultyBroker(server.stores.broker, faults), FaultyBackend(server.stores.backend, faults)
    submitter = broker.submitter(backend) or TwoStepSubmitter(broker, backend)
    await purged(broker, submitter, queue, ALL)


async def states(server: Server, ids: list[str]) -> set[State]:
    return {(await server.result(id).state()).state for id in ids}


async def test_purge_that_died_is_finished_by_the_next(opened: Server) -> None:
    listing = Faults()
    await filled(opened, "listing")
    await purge(opened, "listing", listing)

    for point in listing.calls:
        queue = f"purge-{point.index}-{point.moment}"
        ids = await filled(opened, queue)
        with pytest.raises(Crash):
            await purge(opened, queue, Faults(crash_at=point))

        await opened.queue(queue).purge()

        stats, told = await opened.stores.broker.stats([queue, f"{queue}-told"])
        assert (stats.ready, stats.delayed, stats.held) == (0, 0, 0), point
        assert told.ready == 1, point
        assert await states(opened, ids) == {State.CANCELLED}, point


async def test_after_a_purge_that_died_nothing_runs_that_reads_cancelled(opened: Server) -> None:
    ran: list[str] = []

    @opened.task(name="run")
    async def run() -> None:
        ran.append("run")

    listing = Faults()
    await filled(opened, "listing")
    await purge(opened, "listing", listing)

    for point in listing.calls:
        queue = f"run-{point.index}-{point.moment}"
        ids = await filled(opened, queue)
        with pytest.raises(Crash):
            await purge(opened, queue, Faults(crash_at=point))
        before = await states(opened, ids)
        ran.clear()

        await within(opened.worker(queues=[queue], lease=5, beat=1).run(until_idle=True), deadline=30)

        ended = [(await opened.result(id).state()).state for id in ids]
        waits = ended.count(State.PENDING)
        assert ended.count(State.SUCCESS) + ended.count(State.CANCELLED) + waits == len(ids), point
        # the delayed one alone may wait still
        assert waits <= 1, (point, before)
        (stats,) = await opened.stores.broker.stats([queue])
        assert (stats.ready, stats.held) == (0, 0), point


async def test_requeue_that_died_is_finished_by_the_next(opened: Server) -> None:
    listing = Faults()
    await buried(opened, "listing")
    await requeue(opened, "listing", listing)

    for point in listing.calls:
        id = f"requeue-{point.index}-{point.moment}"
        await buried(opened, id)
        with pytest.raises(Crash):
            await requeue(opened, id, Faults(crash_at=point))

        if [letter for letter in (await opened.dead.list()).letters if letter.id == id]:
            await opened.requeue(id)

        (stats,) = await opened.stores.broker.stats([id])
        assert (stats.ready, stats.dead) == (1, 0), point


async def buried(server: Server, id: str) -> None:
    """Bury a task in a queue of its own name."""
    broker = server.stores.broker
    async with broker.consume([id], prefetch=1, lease=60, worker="w") as consumer:
        await broker.publish([Message(id, "run", id, b'{"v":1}')])
        await consumer.settle([Settlement(await one(consumer), dead="no")])


async def requeue(server: Server, id: str, faults: Faults) -> None:
    stores = replace(
        server.stores,
        broker=FaultyBroker(server.stores.broker, faults),
        backend=FaultyBackend(server.stores.backend, faults),
    )
    await DeadLetters(lambda: stores, None, server.result).requeue(id)

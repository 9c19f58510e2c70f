"""The memory adapter: what its protocols do not show of records, leases and the machine's clock."""

from __future__ import annotations

import asyncio

import pytest

from aioqueue.adapters.memory import connect
from aioqueue.adapters.memory.broker import MemoryBroker
from aioqueue.adapters.memory.core import MemoryCore
from aioqueue.adapters.memory.records import Records
from aioqueue.ids import new_id
from aioqueue.models.state import State
from aioqueue.protocols.messages import OPEN_TTL, Ending
from aioqueue.testing import VirtualClock
from tests.support.clocks import SettableClock
from tests.support.twostep import beat
from tests.support.waiting import eventually, lent, message, one, under_way, within

pytestmark = pytest.mark.anyio

QUEUE = "queue"
HOUR = 3_600.0
LEASE = 0.5


class CountingClock(VirtualClock):
    """Counts how often somebody waits for it."""

    waits = 0

    async def wait(self, event: asyncio.Event, *, until: float | None) -> bool:
        self.waits += 1
        return await super().wait(event, until=until)


def run(records: Records, id: str, *, ttl: float = 60.0) -> None:
    """Let a task go its way: sent, started, ended."""
    sent = message(QUEUE, id=id)
    records.create(sent, records._clock.time())
    records.start(sent, owner="owner", worker="w")
    records.end(Ending(lent(sent), State.SUCCESS, value=b"1", ttl=ttl), "owner")


async def test_records_that_are_over_leave_nothing_behind() -> None:
    clock = VirtualClock()
    records = Records(clock)
    for number in range(3_000):
        run(records, f"{number}")
    await clock.advance(61)

    while records.sweep():
        pass

    assert records._rows == {}
    assert len(records._times) <= 100


async def test_rows_have_few_times_however_often_they_change() -> None:
    clock = VirtualClock()
    records = Records(clock)
    for number in range(100):
        run(records, f"{number}", ttl=OPEN_TTL)
    for _ in range(100):
        for number in range(100):
            records.start(message(QUEUE, id=f"{number}"), owner="owner", worker="w")
        await clock.advance(1)

    assert len(records._times) <= 300


async def test_row_that_was_put_off_is_dropped_when_its_time_comes() -> None:
    clock = VirtualClock()
    records = Records(clock)
    sent = message(QUEUE)
    records.create(sent, clock.time())
    await clock.advance(OPEN_TTL - 10)
    records.start(sent, owner="owner", worker="w")
    await clock.advance(20)
    records.sweep()
    kept = records.row(sent.id) is not None
    await clock.advance(OPEN_TTL)
    records.sweep()

    assert kept
    assert records._rows == {}


async def test_forgotten_row_is_dropped_by_the_next_round() -> None:
    records = Records(VirtualClock())
    run(records, "id")

    records.forget("id")
    records.sweep()

    assert records._rows == {}


async def test_one_round_drops_all_records_that_are_over() -> None:
    clock = VirtualClock()
    core = MemoryCore(clock)
    for number in range(2_500):
        run(core.records, f"{number}")
    await clock.advance(61)

    await MemoryBroker(core).maintain()

    assert core.records._rows == {}


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
async def test_living_consumer_is_not_judged_when_the_clock_is_set(ahead: float) -> None:
    clock = SettableClock()
    broker = connect(f"memory://{new_id()}", clock=clock).broker
    assert broker is not None
    await broker.maintain()
    async with broker.consume([QUEUE], prefetch=2, lease=LEASE, worker="w") as holder:
        await broker.publish([message(QUEUE)])
        await one(holder)
        clock.ahead = ahead

        assert await broker.maintain() == 0
        assert await beat(holder.lease())
        await broker.publish([message(QUEUE)])
        await one(holder)


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
async def test_dead_consumer_is_judged_within_two_leases_when_the_clock_is_set(ahead: float) -> None:
    clock = SettableClock()
    broker = connect(f"memory://{new_id()}", clock=clock).broker
    assert broker is not None
    async with broker.consume([QUEUE], prefetch=1, lease=LEASE, worker="w") as holder:
        await broker.publish([message(QUEUE)])
        await one(holder)
        clock.ahead = ahead

        async def handed_on() -> bool:
            return await broker.maintain() == 1

        await eventually(handed_on, deadline=2 * LEASE)


async def test_lapsed_or_full_consumer_does_not_spin_for_what_is_due() -> None:
    clock = CountingClock()
    broker = MemoryBroker(MemoryCore(clock))
    await broker.publish([message(QUEUE, delay=1), message(QUEUE, delay=1), message(QUEUE)])
    async with (
        broker.consume([QUEUE], prefetch=1, lease=600, worker="w") as full,
        broker.consume([QUEUE], prefetch=1, lease=2, worker="w") as lapsed,
    ):
        await one(full)
        await clock.advance(3)
        waiting = [await under_way(consumer.receive(1, timeout=60)) for consumer in (full, lapsed)]
        waits = clock.waits
        for consumer in (full, lapsed):
            consumer.wake()

        assert await within(asyncio.gather(*waiting)) == [[], []]
        assert waits <= 4


async def test_upkeep_drops_values_whose_time_is_over() -> None:
    clock = VirtualClock()
    adapter = connect(f"memory://{new_id()}", clock=clock)
    assert adapter.store is not None
    assert isinstance(adapter.broker, MemoryBroker)
    await adapter.store.put("short", b"1", ttl=1)
    await adapter.store.put("long", b"1", ttl=HOUR)
    await adapter.store.put("for ever", b"1")
    await clock.advance(2)

    await adapter.broker.maintain()

    assert adapter.broker._core.values.keys() == {"long", "for ever"}

"""The machine's clock may be set, and the file may be locked: nobody who lives is judged for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aioqueue.adapters.sqlite.broker import SqliteBroker
from aioqueue.adapters.sqlite.consumer import SqliteConsumer
from aioqueue.adapters.sqlite.core import Core
from aioqueue.adapters.sqlite.gate import Gate
from aioqueue.adapters.sqlite.options import parse
from aioqueue.errors import BrokerUnavailableError
from tests.support.clocks import SettableClock
from tests.support.twostep import beat
from tests.support.waiting import eventually, message, one

pytestmark = pytest.mark.anyio

QUEUE = "queue"
HOUR = 3600.0
LEASE = 1.0


@pytest.fixture
def clock() -> SettableClock:
    """The clock of the file's broker."""
    return SettableClock()


@pytest.fixture
async def broker(url: str, clock: SettableClock) -> AsyncIterator[SqliteBroker]:
    """A broker that has done a round of upkeep."""
    broker = SqliteBroker(Core(parse(f"{url}?timeout=0.2"), clock))
    await broker.open()
    await broker.maintain()
    yield broker
    await broker.close()


@pytest.fixture
async def holder(broker: SqliteBroker) -> AsyncIterator[SqliteConsumer]:
    """A consumer that holds one message, and lives."""
    async with broker.consume([QUEUE], prefetch=1, lease=LEASE, worker="w") as holder:
        await broker.publish([message(QUEUE)])
        await one(holder)
        yield holder


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
async def test_living_consumer_is_not_judged_when_the_clock_is_set(
    broker: SqliteBroker, holder: SqliteConsumer, clock: SettableClock, ahead: float
) -> None:
    lease = holder.lease()
    await beat(lease)
    clock.ahead = ahead

    at_once = await broker.maintain()
    alive = await beat(lease)
    afterwards = await broker.maintain()

    assert (at_once, alive, afterwards) == (0, True, 0)


async def test_first_beat_after_the_clock_was_set_forward_is_no_lapse(
    holder: SqliteConsumer, clock: SettableClock
) -> None:
    clock.ahead = HOUR

    assert await beat(holder.lease())


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
async def test_living_consumer_is_handed_messages_after_the_clock_was_set(
    broker: SqliteBroker, clock: SettableClock, ahead: float
) -> None:
    async with broker.consume([QUEUE], prefetch=1, lease=LEASE, worker="w") as consumer:
        clock.ahead = ahead
        await beat(consumer.lease())
        await broker.publish([message(QUEUE)])

        await one(consumer)


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
@pytest.mark.usefixtures("holder")
async def test_dead_consumer_is_judged_a_lease_after_the_clock_was_set(
    broker: SqliteBroker, clock: SettableClock, ahead: float
) -> None:
    clock.ahead = ahead
    loop = asyncio.get_running_loop()
    set_at = loop.time()

    async def handed_on() -> bool:
        return await broker.maintain() == 1

    await eventually(handed_on)

    assert LEASE * 0.9 < loop.time() - set_at < HOUR


async def test_nobody_is_judged_for_the_time_the_file_was_locked(broker: SqliteBroker, path: Path) -> None:
    await broker.publish([message(QUEUE)])
    async with broker.consume([QUEUE], prefetch=1, lease=0.3, worker="w") as holder:
        await one(holder)
        gate = Gate(f"{path}-lock")
        with gate.passed(1):
            for _ in range(3):
                with pytest.raises(BrokerUnavailableError):
                    await broker.maintain()
        gate.close()

        at_once = await broker.maintain()

        async def handed_on() -> bool:
            return await broker.maintain() == 1

        await eventually(handed_on)
    assert at_once == 0

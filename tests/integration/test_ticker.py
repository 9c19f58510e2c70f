"""What a ticker does with the slots of a schedule: claims, misfires, overlaps, faults."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aioqueue import Server, Signature, State, chord, current, group
from aioqueue.errors import BrokerUnavailableError, ConfigurationError, SignatureError
from aioqueue.slots import micros
from aioqueue.testing import VirtualClock
from aioqueue.ticks import Cursor
from tests.support.faulty import Faults, FaultyStore
from tests.support.stores import BUILT_IN, VALKEY, Implementation
from tests.support.ticking import START, place, rounds, ticker
from tests.support.waiting import pause, within

pytestmark = pytest.mark.anyio

OVER = [
    *(pytest.param(store, id=store.name) for store in BUILT_IN),
    pytest.param(VALKEY, id=VALKEY.name, marks=pytest.mark.wide),
]


class Yard:
    """A Server and a virtual clock. ran: the ids and headers of what ran.

    Tickers go by that clock on every store. A service does not, so what they send is due there at once.
    """

    def __init__(self, url: str, *, served: bool = False) -> None:
        self.clock = VirtualClock(START)
        self.server = Server(url, clock=None if served else self.clock)
        self.server.stores = replace(self.server.stores, clock=self.clock)
        self.ran: list[tuple[str, dict[str, str]]] = []

        @self.server.task
        async def note(n: int = 0) -> int:
            self.ran.append((current().task_id, dict(current().headers)))
            return n

        self.note = note

    async def work(self) -> None:
        """Run what is ready; no schedule is fired by that."""
        await within(self.server.worker(scheduler=False).run(until_idle=True))

    async def ahead(self) -> float:
        """Move on to an hour no service has come to, so that what is due then waits; return it."""
        hour = (time.time() // 3600 + 2) * 3600
        await self.clock.advance(hour - self.clock.time())
        return hour

    @property
    def ids(self) -> list[str]:
        return [id for id, _ in self.ran]

    async def waiting(self) -> int:
        (counts,) = await self.server.stores.broker.stats(["default"])
        return (counts.ready or 0) + (counts.delayed or 0)

    async def cursor(self) -> Cursor:
        assert self.server.stores.store is not None
        (data,) = (await self.server.stores.store.list("schedule:tick:")).values()
        return Cursor.decoded(data)


@pytest.fixture(params=OVER)
async def yard(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Yard]:
    store: Implementation = request.param
    made = Yard(store.url(tmp_path), served=store.service is not None)
    async with made.server:
        yield made


@pytest.mark.parametrize("conflict", ["return", "raise", "drop"])
async def test_slot_that_meets_a_task_of_its_key_is_passed_over(yard: Yard, conflict: Any) -> None:
    call = yard.note.options(unique="until_done", on_conflict=conflict).s(1)
    yard.server.schedule("tidy", 10, call)

    await rounds(yard.clock, [ticker(yard.server)], 31)
    waited = await yard.waiting()
    await yard.work()
    await rounds(yard.clock, [ticker(yard.server)], 5)
    await yard.work()

    assert waited == 1
    assert yard.ids == [f"tidy.{START + 10:.0f}"]
    assert (await yard.cursor()).slot == micros(START + 30)


async def test_slot_fires_once_however_many_tick(yard: Yard) -> None:
    yard.server.schedule("tidy", 10, yard.note.s(1))
    await rounds(yard.clock, [ticker(yard.server) for _ in range(3)], 31)
    await yard.work()

    assert yard.ids == [f"tidy.{START + n:.0f}" for n in (10, 20, 30)]
    assert yard.ran[0][1] == {
        "aioqueue-schedule": "tidy",
        "aioqueue-slot": "2026-01-01T00:00:10+00:00",
    }


async def test_first_slot_is_the_next_one_and_none_of_before(yard: Yard) -> None:
    yard.server.schedule("tidy", "0 * * * *", yard.note.s())
    await rounds(yard.clock, [ticker(yard.server)], 60)

    assert await yard.waiting() == 0
    assert (await yard.cursor()).slot == micros(START + 1)


async def test_restart_goes_on_where_the_schedule_was(yard: Yard) -> None:
    yard.server.schedule("tidy", 10, yard.note.s())
    await rounds(yard.clock, [ticker(yard.server)], 19)
    await rounds(yard.clock, [ticker(yard.server)], 12)
    await yard.work()

    assert yard.ids == [f"tidy.{START + n:.0f}" for n in (10, 20, 30)]


@pytest.mark.parametrize(
    ("options", "fired"),
    [
        ({"misfire": "skip"}, []),
        ({"misfire": "once"}, [3000]),
        ({"misfire": "all"}, [600, 1200, 1800, 2400, 3000]),
        ({"misfire": "all", "catch_up": 2}, [2400, 3000]),
        ({"misfire": "all", "overlap": "skip"}, [3000]),
    ],
)
async def test_missed_slots_are_made_up_for_as_the_policy_says(
    yard: Yard, options: dict[str, Any], fired: list[int]
) -> None:
    yard.server.schedule("tidy", 600, yard.note.s(), **options)
    await rounds(yard.clock, [ticker(yard.server)], 1)
    await yard.clock.advance(3500)
    await rounds(yard.clock, [ticker(yard.server) for _ in range(2)], 1)
    await yard.work()

    assert yard.ids == [f"tidy.{START + n:.0f}" for n in fired]
    assert (await yard.cursor()).slot == micros(START + 3000)


async def test_slot_that_is_a_little_late_is_no_misfire(yard: Yard) -> None:
    yard.server.schedule("tidy", 600, yard.note.s(), misfire="skip")
    await rounds(yard.clock, [ticker(yard.server)], 1)
    await yard.clock.advance(640)
    await rounds(yard.clock, [ticker(yard.server)], 1)

    assert await yard.waiting() == 1


async def test_overlap_skip_leaves_out_slots_while_the_one_before_has_not_ended(yard: Yard) -> None:
    yard.server.schedule("tidy", 10, yard.note.s(), overlap="skip")
    tick = ticker(yard.server)
    await rounds(yard.clock, [tick], 31)
    assert await yard.waiting() == 1

    await yard.work()
    await rounds(yard.clock, [tick], 10)
    await yard.work()

    assert yard.ids == [f"tidy.{START + n:.0f}" for n in (10, 40)]


async def test_overlap_skip_knows_a_workflow(yard: Yard) -> None:
    yard.server.schedule("tidy", 10, group([yard.note.s(1), yard.note.s(2)]), overlap="skip")
    tick = ticker(yard.server)
    await rounds(yard.clock, [tick], 31)
    assert await yard.waiting() == 2

    await yard.work()
    await rounds(yard.clock, [tick], 10)

    assert await yard.waiting() == 2


async def test_overlap_cancel_previous_ends_the_one_before(yard: Yard) -> None:
    yard.server.schedule("tidy", 10, yard.note.s(), overlap="cancel_previous")
    await rounds(yard.clock, [ticker(yard.server)], 21)
    first = await yard.server.result(f"tidy.{START + 10:.0f}").state()
    await yard.work()

    assert first.state is State.CANCELLED
    assert yard.ids == [f"tidy.{START + 20:.0f}"]


async def test_workflow_gets_derived_ids(yard: Yard) -> None:
    members = group([yard.note.s(1), yard.note.s(2)])
    yard.server.schedule("sum", 10, chord(members, yard.note.s(3)))
    await rounds(yard.clock, [ticker(yard.server) for _ in range(2)], 11)
    await yard.work()

    assert sorted(yard.ids) == [f"sum.{START + 10:.0f}.{n}" for n in range(3)]
    assert await yard.server.result(f"sum.{START + 10:.0f}") == 3


async def test_jitter_puts_off_each_slot_by_the_same_wherever_it_is_asked(yard: Yard) -> None:
    hour = await yard.ahead()
    yard.server.schedule("tidy", 60, yard.note.s(), jitter=30)
    await rounds(yard.clock, [ticker(yard.server) for _ in range(2)], 181)
    schedule = yard.server.scheduled["tidy"]
    slots = [hour + n for n in (60, 120, 180)]
    late = [schedule.jitter(micros(slot)) for slot in slots]
    states = [await yard.server.result(f"tidy.{slot:.0f}").state() for slot in slots]

    assert len(set(late)) == 3
    assert all(0 <= each < micros(30.0) for each in late)
    # a ticker that steps by a second may come to a slot after its moment, and then sends it at once
    for slot, each, state in zip(slots, late, states, strict=True):
        due = slot + each / 1e6
        assert state.next_at is not None
        assert due - 0.01 <= state.next_at <= max(due, slot + 1.0) + 0.01


async def test_fast_clock_of_a_ticker_starts_nothing_early(yard: Yard) -> None:
    hour = await yard.ahead()
    yard.server.schedule("tidy", 60, yard.note.s())
    fast = ticker(yard.server)
    fast._clock = VirtualClock(hour + 30)  # another machine's
    await fast.round()
    await fast._clock.advance(31)
    await fast.round()

    (counts,) = await yard.server.stores.broker.stats(["default"])
    assert (counts.ready, counts.delayed) == (0, 1)


async def test_moment_fires_once(yard: Yard) -> None:
    yard.server.schedule("launch", datetime.fromtimestamp(START + 20, UTC), yard.note.s())
    await rounds(yard.clock, [ticker(yard.server) for _ in range(2)], 60)
    await yard.work()

    assert yard.ids == [f"launch.{START + 20:.0f}"]


async def test_short_result_ttl_lets_no_slot_run_again(yard: Yard) -> None:
    yard.server.schedule("tidy", 10, yard.note.s().options(result_ttl=0))
    await rounds(yard.clock, [ticker(yard.server)], 11)
    await yard.work()
    assert yard.server.stores.store is not None
    # a ticker that died between its send and its last word
    ((key, _),) = (await yard.server.stores.store.list("schedule:tick:")).items()
    claim = Cursor(micros(START), (micros(START + 10),), None, "dead")
    await yard.server.stores.store.put(key, claim.encoded())
    await rounds(yard.clock, [ticker(yard.server)], 5)
    await yard.work()

    assert yard.ids == [f"tidy.{START + 10:.0f}"]
    assert (await yard.cursor()).slot == micros(START + 10)


async def test_claim_of_the_dead_is_finished_after_a_second(yard: Yard) -> None:
    yard.server.schedule("tidy", 100, yard.note.s())
    living = ticker(yard.server)
    await rounds(yard.clock, [living], 1)
    assert yard.server.stores.store is not None
    ((key, _),) = (await yard.server.stores.store.list("schedule:tick:")).items()
    claim = Cursor(micros(START), (micros(START + 100),), None, "dead")
    await yard.server.stores.store.put(key, claim.encoded())
    await rounds(yard.clock, [living], 100)
    assert await yard.waiting() == 0
    await rounds(yard.clock, [living], 3)
    await yard.work()

    assert yard.ids == [f"tidy.{START + 100:.0f}"]
    assert (await yard.cursor()).pending == ()


async def test_claim_from_before_a_pause_is_not_sent_after_it(yard: Yard) -> None:
    yard.server.schedule("tidy", 100, yard.note.s())
    living = ticker(yard.server)
    await rounds(yard.clock, [living], 1)
    assert yard.server.stores.store is not None
    ((key, _),) = (await yard.server.stores.store.list("schedule:tick:")).items()
    await yard.clock.advance(100)
    await yard.server.stores.store.put(key, Cursor(micros(START), (micros(START + 100),)).encoded())
    await yard.server.schedules.pause("tidy")
    await yard.clock.advance(500)
    await yard.server.schedules.resume("tidy")
    await rounds(yard.clock, [living], 5)

    assert await yard.waiting() == 0
    assert (await yard.cursor()).pending == ()


async def test_send_that_fails_is_made_up_for(yard: Yard) -> None:
    yard.server.schedule("tidy", 10, yard.note.s())
    faults = Faults(fail={"store put": 1}, lose={"store put": 3})
    assert yard.server.stores.store is not None
    stores = replace(yard.server.stores, store=FaultyStore(yard.server.stores.store, faults))
    yard.server.stores = stores
    tick = ticker(yard.server)
    for _ in range(30):
        try:
            await rounds(yard.clock, [tick], 1)
        except BrokerUnavailableError:
            continue
    await yard.work()

    assert yard.ids == [f"tidy.{START + n:.0f}" for n in (10, 20, 30)]


async def test_full_queue_holds_a_schedule_back_and_loses_no_slot(tmp_path: Path) -> None:
    url = place("memory", tmp_path)
    yard = Yard(url)
    full = Server(url, clock=yard.clock, max_queue=1)
    full.schedule("tidy", 10, Signature(name="note"), misfire="all")
    async with yard.server, full:
        await full.send(Signature(name="note", id="first"))
        tick = ticker(full)
        await rounds(yard.clock, [tick], 15)
        assert await yard.waiting() == 1
        await yard.work()
        await rounds(yard.clock, [tick], 3)
        await yard.work()

    assert yard.ids == ["first", f"tidy.{START + 10:.0f}"]


async def test_tick_that_cannot_be_sent_is_told_and_holds_back_nobody(
    yard: Yard, caplog: pytest.LogCaptureFixture
) -> None:
    yard.server.schedule("big", 10, Signature(name="note", args=("x" * 2_000_000,)))
    yard.server.schedule("tidy", 10, yard.note.s())
    await rounds(yard.clock, [ticker(yard.server)], 21)
    await yard.work()

    assert yard.ids == [f"tidy.{START + n:.0f}" for n in (10, 20)]
    assert "schedule big: its slot at 2026-01-01 00:00:10+00:00 cannot be sent" in caplog.text


async def test_worker_fires_schedules_beside_its_tasks(yard: Yard) -> None:
    yard.server.schedule("tidy", timedelta(seconds=2), yard.note.s())
    async with yard.server.worker():
        while len(yard.ids) < 3:
            await yard.clock.advance(0.25)
            await pause()

    assert len(set(yard.ids)) == len(yard.ids)


async def test_worker_that_is_no_scheduler_fires_nothing(yard: Yard) -> None:
    yard.server.schedule("tidy", 2, yard.note.s())
    async with yard.server.worker(scheduler=False):
        await yard.clock.advance(10)

    assert yard.ids == []


async def test_store_without_a_shared_map_is_refused_with_the_way_out(yard: Yard) -> None:
    yard.server.stores = replace(yard.server.stores, store=None)
    async with yard.server.worker():
        pass
    yard.server.schedule("tidy", 2, yard.note.s())

    with pytest.raises(ConfigurationError, match="has one; name a store that has, as backend="):
        await within(yard.server.worker().run())
    with pytest.raises(ConfigurationError, match="has one; name a store that has, as backend="):
        await yard.server.schedules.list()


async def test_periodic_task_that_wants_arguments_is_told_at_the_start(yard: Yard) -> None:
    @yard.server.periodic("@daily")
    @yard.server.task
    async def wrong(n: int) -> int:
        return n

    with pytest.raises(SignatureError, match=r"wrong\(\) argument 'n'"):
        await within(yard.server.worker().run())

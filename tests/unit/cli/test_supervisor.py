"""The supervisor's rules, with children that are not processes and time that stands still."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence

import pytest

from aioqueue.testing.clock import VirtualClock
from aioqueue.worker.supervisor import MISUSED, Restarts, Supervisor, orphaned
from tests.support.waiting import within


class FakeChild:
    """Ends when it is told to. deaf: no signal but SIGKILL ends it."""

    def __init__(self, pid: int, *, deaf: bool = False) -> None:
        self.pid = pid
        self.signals: list[int] = []
        self._deaf = deaf
        self._ended = asyncio.Event()
        self._code = 0

    async def wait(self) -> int:
        await self._ended.wait()
        return self._code

    def send_signal(self, signal: int, /) -> None:
        self.signals.append(signal)
        if signal == 9:
            self.end(-9)
        elif not self._deaf:
            self.end(0)

    def end(self, code: int) -> None:
        self._code = code
        self._ended.set()


class Nursery:
    """Spawns fake children. born: all of them, and the moment of each birth."""

    def __init__(self, clock: VirtualClock, *, deaf: bool = False) -> None:
        self.born: list[tuple[float, FakeChild]] = []
        self.argv: list[Sequence[str]] = []
        self._clock = clock
        self._deaf = deaf

    async def spawn(self, argv: Sequence[str]) -> FakeChild:
        self.argv.append(argv)
        child = FakeChild(len(self.born), deaf=self._deaf)
        self.born.append((self._clock.time(), child))
        return child

    @property
    def last(self) -> FakeChild:
        return self.born[-1][1]


def supervisor(
    clock: VirtualClock, nursery: Nursery, *, processes: int = 1, grace: float = 5.0, burst: bool = False
) -> Supervisor:
    return Supervisor(
        lambda number: [f"child-{number}"],
        processes=processes,
        grace=grace,
        burst=burst,
        clock=clock,
        spawn=nursery.spawn,
    )


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(0.0)


@pytest.fixture
def nursery(clock: VirtualClock) -> Nursery:
    return Nursery(clock)


def test_pauses_grow_to_a_cap_and_begin_anew_after_a_long_life() -> None:
    restarts = Restarts()

    assert [restarts.pause(0.5) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert [restarts.pause(lived) for lived in (59.9, 60.0, 0.1)] == [30, 1, 2]


async def test_child_that_dies_is_started_again_later_each_time(
    clock: VirtualClock, nursery: Nursery
) -> None:
    running = asyncio.create_task((watched := supervisor(clock, nursery)).run())
    for _ in range(4):
        await clock.advance(0)
        nursery.last.end(1)
        await clock.advance(20)
    moments = [moment for moment, _ in nursery.born]
    watched.stop()

    assert moments == [0, 1, 22, 44, 68]
    assert await within(running) == 0


async def test_child_that_ended_well_is_replaced_at_once(clock: VirtualClock, nursery: Nursery) -> None:
    running = asyncio.create_task((watched := supervisor(clock, nursery)).run())
    await clock.advance(0)
    nursery.last.end(0)
    await clock.advance(0)
    watched.stop()

    assert len(nursery.born) == 2
    assert await within(running) == 0


async def test_each_child_has_its_own_number(clock: VirtualClock, nursery: Nursery) -> None:
    running = asyncio.create_task((watched := supervisor(clock, nursery, processes=3)).run())
    await clock.advance(0)
    watched.stop()

    assert await within(running) == 0
    assert nursery.argv == [["child-1"], ["child-2"], ["child-3"]]


async def test_signal_is_handed_on_to_all(clock: VirtualClock, nursery: Nursery) -> None:
    running = asyncio.create_task(supervisor(clock, nursery, processes=2).run())
    await clock.advance(0)
    os.kill(os.getpid(), signal.SIGINT)

    assert await within(running) == 0
    assert [child.signals for _, child in nursery.born] == [[signal.SIGINT], [signal.SIGINT]]


async def test_child_that_outlives_its_grace_is_killed(clock: VirtualClock) -> None:
    nursery = Nursery(clock, deaf=True)
    running = asyncio.create_task((watched := supervisor(clock, nursery, grace=5)).run())
    await clock.advance(0)
    watched.stop()
    await clock.advance(6.9)
    before = list(nursery.last.signals)
    await clock.advance(0.2)

    assert before == [signal.SIGTERM]
    assert nursery.last.signals == [signal.SIGTERM, signal.SIGKILL]
    assert await within(running) == 1


async def test_stop_ends_a_pause(clock: VirtualClock, nursery: Nursery) -> None:
    running = asyncio.create_task((watched := supervisor(clock, nursery)).run())
    await clock.advance(0)
    nursery.last.end(1)
    await clock.advance(0)
    watched.stop()

    assert await within(running) == 0
    assert len(nursery.born) == 1


@pytest.mark.parametrize(("code", "outcome"), [(0, 0), (1, 1), (-signal.SIGKILL, 1)])
async def test_burst_starts_nothing_again(
    clock: VirtualClock, nursery: Nursery, code: int, outcome: int
) -> None:
    running = asyncio.create_task(supervisor(clock, nursery, processes=2, burst=True).run())
    await clock.advance(0)
    for child, ending in zip((child for _, child in nursery.born), (0, code), strict=True):
        child.end(ending)

    assert await within(running) == outcome
    assert len(nursery.born) == 2


async def test_command_that_cannot_run_ends_all(clock: VirtualClock, nursery: Nursery) -> None:
    running = asyncio.create_task(supervisor(clock, nursery, processes=2).run())
    await clock.advance(0)
    nursery.born[0][1].end(MISUSED)

    assert await within(running) == MISUSED
    assert nursery.last.signals == [signal.SIGTERM]


async def test_command_that_could_run_before_is_tried_again(clock: VirtualClock, nursery: Nursery) -> None:
    running = asyncio.create_task((watched := supervisor(clock, nursery)).run())
    await clock.advance(0)
    nursery.last.end(1)
    await clock.advance(1)
    nursery.last.end(MISUSED)
    await clock.advance(2)
    watched.stop()

    assert len(nursery.born) == 3
    assert await within(running) == 0


async def test_system_that_can_start_nothing_is_asked_again(clock: VirtualClock, nursery: Nursery) -> None:
    faults = [OSError("no more processes")]

    async def spawn(argv: Sequence[str]) -> FakeChild:
        if faults:
            raise faults.pop()
        return await nursery.spawn(argv)

    watched = Supervisor(lambda _: ["child"], processes=1, grace=1, clock=clock, spawn=spawn)
    running = asyncio.create_task(watched.run())
    await clock.advance(1)
    watched.stop()

    assert len(nursery.born) == 1
    assert await within(running) == 0


async def test_child_with_its_parent_watches_until_it_is_over() -> None:
    over = asyncio.Event()
    watching = asyncio.create_task(orphaned(os.getppid(), over))
    await asyncio.sleep(0)
    over.set()

    assert await within(watching) is False


async def test_child_without_its_parent_is_told() -> None:
    assert await within(orphaned(-1, asyncio.Event())) is True

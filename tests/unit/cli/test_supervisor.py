"""The supervisor's rules, with children that are not processes and time that stands still."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Sequence

import pytest

from aioqueue.errors import BrokerUnavailableError
from aioqueue.testing.clock import VirtualClock
from aioqueue.worker.supervisor import BURIAL, LAST_BURIALS, MISUSED, Restarts, Supervisor, orphaned
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
    clock: VirtualClock,
    nursery: Nursery,
    *,
    processes: int = 1,
    grace: float = 5.0,
    burst: bool = False,
    patient: bool = False,
    buried: Callable[[str], Awaitable[bool]] | None = None,
) -> Supervisor:
    return Supervisor(
        lambda number, birth: [f"child-{number}", birth],
        processes=processes,
        grace=grace,
        burst=burst,
        patient=patient,
        buried=buried,
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
    assert [argv[0] for argv in nursery.argv] == ["child-1", "child-2", "child-3"]


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

    watched = Supervisor(lambda *_: ["child"], processes=1, grace=1, clock=clock, spawn=spawn)
    running = asyncio.create_task(watched.run())
    await clock.advance(1)
    watched.stop()

    assert len(nursery.born) == 1
    assert await within(running) == 0


async def test_restart_replaces_every_child_at_once_and_signals_none_twice(clock: VirtualClock) -> None:
    nursery = Nursery(clock, deaf=True)
    running = asyncio.create_task((watched := supervisor(clock, nursery, processes=2)).run())
    await clock.advance(0)
    watched.restart()
    watched.restart()
    for _, child in nursery.born[:2]:
        child.end(-signal.SIGTERM)
    await clock.advance(0)
    signals, born = [list(child.signals) for _, child in nursery.born], len(nursery.born)
    watched.stop()
    for _, child in nursery.born:
        child.end(0)

    assert await within(running) == 0
    assert (signals, born) == ([[signal.SIGTERM], [signal.SIGTERM], [], []], 4)


async def test_first_stop_does_not_hurry_a_child_that_is_leaving(clock: VirtualClock) -> None:
    nursery = Nursery(clock, deaf=True)
    running = asyncio.create_task((watched := supervisor(clock, nursery)).run())
    await clock.advance(0)
    watched.restart()
    watched.stop()
    first = list(nursery.last.signals)
    watched.stop()
    second = list(nursery.last.signals)
    nursery.last.end(0)

    assert await within(running) == 0
    assert (first, second) == ([signal.SIGTERM], [signal.SIGTERM] * 2)
    assert len(nursery.born) == 1


async def test_child_that_makes_no_room_is_killed(clock: VirtualClock) -> None:
    nursery = Nursery(clock, deaf=True)
    running = asyncio.create_task((watched := supervisor(clock, nursery, grace=5)).run())
    await clock.advance(0)
    watched.restart()
    await clock.advance(6.9)
    before = len(nursery.born)
    await clock.advance(0.2)
    watched.stop()
    nursery.last.end(0)

    assert await within(running) == 0
    assert (before, len(nursery.born)) == (1, 2)
    assert nursery.born[0][1].signals == [signal.SIGTERM, signal.SIGKILL]


async def test_command_that_cannot_run_waits_for_a_restart(clock: VirtualClock, nursery: Nursery) -> None:
    running = asyncio.create_task((watched := supervisor(clock, nursery, patient=True)).run())
    await clock.advance(0)
    nursery.last.end(MISUSED)
    await clock.advance(600)
    before = len(nursery.born)
    watched.restart()
    await clock.advance(0)
    again = len(nursery.born)
    nursery.last.end(MISUSED)
    await clock.advance(0)
    watched.stop()

    assert await within(running) == 0
    assert (before, again, len(nursery.born)) == (1, 2, 2)


async def test_restart_ends_a_pause(clock: VirtualClock, nursery: Nursery) -> None:
    running = asyncio.create_task((watched := supervisor(clock, nursery)).run())
    for seconds in (0.0, 20.0):
        await clock.advance(seconds)
        nursery.last.end(1)
    await clock.advance(0)
    before = len(nursery.born)
    watched.restart()
    await clock.advance(0)
    watched.stop()

    assert await within(running) == 0
    assert (before, len(nursery.born)) == (2, 3)


class Undertaker:
    """Keeps a list of births. fault: what it raises. hangs: it never ends. begun: its answer."""

    def __init__(self, fault: Exception | None = None, *, hangs: bool = False, begun: bool = True) -> None:
        self._begun = begun
        self.births: list[str] = []
        self.given_up = False
        self._fault = fault
        self._hangs = hangs

    async def bury(self, birth: str) -> bool:
        self.births.append(birth)
        if self._fault is not None:
            raise self._fault
        if self._hangs:
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up = True
        return self._begun


@pytest.mark.parametrize("code", [-signal.SIGKILL, 1, 70])
async def test_child_that_died_is_buried_by_its_birth(
    clock: VirtualClock, nursery: Nursery, code: int
) -> None:
    undertaker = Undertaker()
    watched = supervisor(clock, nursery, processes=2, buried=undertaker.bury)
    running = asyncio.create_task(watched.run())
    await clock.advance(0)
    nursery.born[1][1].end(code)
    await clock.advance(0)
    before_the_next = len(nursery.born)
    await clock.advance(1)
    watched.stop()

    assert await within(running) == 0
    assert undertaker.births == [nursery.argv[1][1]]
    assert before_the_next == 2
    assert len({argv[1] for argv in nursery.argv}) == 3


async def test_child_that_ended_well_is_not_buried(clock: VirtualClock, nursery: Nursery) -> None:
    undertaker = Undertaker()
    running = asyncio.create_task((watched := supervisor(clock, nursery, buried=undertaker.bury)).run())
    await clock.advance(0)
    nursery.last.end(0)
    await clock.advance(1)
    watched.stop()

    assert await within(running) == 0
    assert undertaker.births == []


async def test_command_that_cannot_run_has_taken_no_tasks(clock: VirtualClock, nursery: Nursery) -> None:
    undertaker = Undertaker(begun=False)
    running = asyncio.create_task(supervisor(clock, nursery, buried=undertaker.bury).run())
    await clock.advance(0)
    nursery.last.end(MISUSED)

    assert await within(running) == MISUSED
    assert undertaker.births == [nursery.argv[0][1]]


@pytest.mark.parametrize("fault", [None, BrokerUnavailableError("away")])
async def test_task_that_ends_its_process_with_that_code_stops_nobody(
    clock: VirtualClock, nursery: Nursery, fault: Exception | None
) -> None:
    undertaker = Undertaker(fault)
    running = asyncio.create_task((watched := supervisor(clock, nursery, buried=undertaker.bury)).run())
    await clock.advance(0)
    nursery.last.end(MISUSED)
    await clock.advance(1)
    watched.stop()

    assert await within(running) == 0
    assert len(nursery.born) == 2
    assert undertaker.births == [nursery.argv[0][1]]


async def test_child_that_was_never_started_is_not_buried(clock: VirtualClock) -> None:
    undertaker = Undertaker()

    async def spawn(argv: Sequence[str]) -> FakeChild:
        raise OSError("no more processes")

    watched = Supervisor(
        lambda *_: ["child"], processes=1, grace=1, buried=undertaker.bury, clock=clock, spawn=spawn
    )
    running = asyncio.create_task(watched.run())
    await clock.advance(0)
    watched.stop()
    await within(running)

    assert undertaker.births == []


async def test_child_that_is_killed_in_a_stop_is_buried_before_the_end(clock: VirtualClock) -> None:
    nursery, undertaker = Nursery(clock, deaf=True), Undertaker()
    running = asyncio.create_task((watched := supervisor(clock, nursery, buried=undertaker.bury)).run())
    await clock.advance(0)
    watched.stop()
    await clock.advance(7.1)

    assert await within(running) == 1
    assert undertaker.births == [nursery.argv[0][1]]


async def test_burial_that_fails_is_told_and_stops_nobody(
    clock: VirtualClock, nursery: Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    undertaker = Undertaker(LookupError("no such grave"))
    running = asyncio.create_task((watched := supervisor(clock, nursery, buried=undertaker.bury)).run())
    for _ in range(2):
        await clock.advance(0)
        nursery.last.end(1)
        await clock.advance(2)
    watched.stop()

    assert await within(running) == 0
    assert len(nursery.born) == 3
    assert len(undertaker.births) == 2
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR] == [
        "what worker process 1 held runs elsewhere only when its lease has lapsed: no such grave"
    ] * 2


async def test_burial_that_hangs_delays_no_restart_and_is_given_up(
    clock: VirtualClock, nursery: Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    undertaker = Undertaker(hangs=True)
    running = asyncio.create_task((watched := supervisor(clock, nursery, buried=undertaker.bury)).run())
    await clock.advance(0)
    nursery.last.end(1)
    await clock.advance(1)
    restarted, early = len(nursery.born), undertaker.given_up
    await clock.advance(BURIAL)
    late = undertaker.given_up
    watched.stop()

    assert await within(running) == 0
    assert (restarted, early, late) == (2, False, True)
    assert "the store does not answer" in caplog.text


async def test_burial_that_hangs_holds_up_a_stop_for_a_moment_only(
    clock: VirtualClock, nursery: Nursery
) -> None:
    undertaker = Undertaker(hangs=True)
    running = asyncio.create_task((watched := supervisor(clock, nursery, buried=undertaker.bury)).run())
    await clock.advance(0)
    nursery.last.end(1)
    await clock.advance(0)
    watched.stop()

    assert await within(running, deadline=LAST_BURIALS + 2) == 0
    await clock.advance(0)
    assert undertaker.given_up


async def test_child_with_its_parent_watches_until_it_is_over() -> None:
    over = asyncio.Event()
    watching = asyncio.create_task(orphaned(os.getppid(), over))
    await asyncio.sleep(0)
    over.set()

    assert await within(watching) is False


async def test_child_without_its_parent_is_told() -> None:
    assert await within(orphaned(-1, asyncio.Event())) is True

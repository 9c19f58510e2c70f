"""ClockDoubt: nobody is judged for a lease after the clock was set."""

from __future__ import annotations

import pytest

from aioqueue.clock import ClockDoubt, SystemClock, passing
from aioqueue.testing import VirtualClock

HOUR = 3_600.0
LEASE = 10.0


class Stand(ClockDoubt):
    """A doubt whose clock and whose time are set by hand."""

    def __init__(self) -> None:
        super().__init__(self)
        self.now = self.gone = 0.0
        self.passed = lambda: self.gone

    def time(self) -> float:
        return self.now

    async def wait(self, event: object, *, until: float | None) -> bool:
        raise NotImplementedError

    def after(self, seconds: float, *, ahead: float = 0.0) -> bool:
        """Ask when *seconds* have passed in which the clock was set *ahead* seconds."""
        self.gone += seconds
        self.now += seconds + ahead
        return self.lasts(LEASE)


@pytest.mark.parametrize("ahead", [HOUR, -HOUR, LEASE * 0.6, -LEASE * 0.6])
def test_clock_that_was_set_is_doubted_for_one_lease(ahead: float) -> None:
    doubt = Stand()

    answers = [doubt.after(5), doubt.after(5, ahead=ahead), doubt.after(9), doubt.after(2)]

    assert answers == [False, True, True, False]


@pytest.mark.parametrize("ahead", [0.0, LEASE * 0.4, -LEASE * 0.4])
def test_clock_that_was_corrected_a_little_is_trusted(ahead: float) -> None:
    doubt = Stand()

    assert [doubt.after(5), doubt.after(5, ahead=ahead)] == [False, False]


def test_clock_that_is_set_again_is_doubted_again() -> None:
    doubt = Stand()

    answers = [doubt.after(5), doubt.after(5, ahead=HOUR), doubt.after(9, ahead=-HOUR), doubt.after(9)]

    assert answers == [False, True, True, True]


def test_who_could_not_beat_is_not_judged() -> None:
    doubt = Stand()

    assert doubt.lasts(LEASE, stuck=True)
    assert [doubt.after(9), doubt.after(2)] == [True, False]


async def test_clock_of_its_own_measures_itself() -> None:
    clock = VirtualClock()
    before = passing(clock)()
    await clock.advance(5)

    assert passing(clock)() - before == 5


def test_machines_clock_is_measured_by_what_nobody_sets() -> None:
    class Set(SystemClock):
        def time(self) -> float:
            return super().time() + HOUR

    assert abs(passing(Set())() - passing(SystemClock())()) < 60

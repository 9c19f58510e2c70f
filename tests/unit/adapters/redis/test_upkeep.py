"""Calm: since when leases could be kept, by all that one process sees of the server."""

from __future__ import annotations

import pytest

from aioqueue.adapters.redis.upkeep import Calm

HOUR = 3_600.0


class Stand:
    """A Calm whose server and whose time are set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        self.run = "one"
        self.ahead = 1.7e9
        monkeypatch.setattr("aioqueue.adapters.redis.upkeep.time.monotonic", lambda: self.now)
        self.calm = Calm()

    def after(self, seconds: float, *, answer: float = 0.01) -> float:
        """Ask when *seconds* have passed, for an answer that takes *answer* s; return the calm."""
        self.now += seconds
        asked = self.now
        server_time = asked + answer / 2 + self.ahead
        self.now += answer
        return self.calm.seen(self.run, server_time, asked, self.now)


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    """A Calm that has seen the server for a minute."""
    stand = Stand(monkeypatch)
    for _ in range(13):
        stand.after(5)
    return stand


def test_first_answer_begins_the_calm(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand(monkeypatch)

    assert [round(stand.after(5), 1) for _ in range(3)] == [0.0, 5.0, 10.0]


def test_calm_grows_with_time(stand: Stand) -> None:
    assert stand.after(5) == pytest.approx(65, abs=1)


def test_restart_of_the_server_ends_it(stand: Stand) -> None:
    stand.run = "two"

    assert [round(stand.after(5), 1) for _ in range(2)] == [0.0, 5.0]


@pytest.mark.parametrize("ahead", [HOUR, -HOUR, 2.0, -2.0])
def test_clock_that_jumps_ends_it(stand: Stand, ahead: float) -> None:
    stand.ahead += ahead

    assert [round(stand.after(5), 1) for _ in range(2)] == [0.0, 5.0]


@pytest.mark.parametrize("drift", [0.02, -0.02])
def test_clock_that_drifts_does_not(stand: Stand, drift: float) -> None:
    for _ in range(200):
        stand.ahead += drift
        calm = stand.after(5)

    assert calm > 1_000


def test_machine_that_slept_ends_it(stand: Stand) -> None:
    """The server's clock went on, and the monotonic one of this machine did not."""
    stand.ahead += 30.0

    assert stand.after(5) == 0.0


@pytest.mark.parametrize(("answer", "kept"), [(0.9, True), (1.1, False), (20.0, False)])
def test_answer_that_stalled_ends_it(stand: Stand, answer: float, kept: bool) -> None:
    assert (stand.after(5, answer=answer) > 60) is kept


def test_calm_begins_with_the_end_of_a_stalled_answer(stand: Stand) -> None:
    stand.after(5, answer=20.0)

    assert stand.after(5) == pytest.approx(5, abs=0.1)


def test_jump_within_a_stalled_answer_is_seen_by_the_next(stand: Stand) -> None:
    stand.after(5, answer=20.0)
    stand.ahead += HOUR

    assert stand.after(5) == 0.0


def test_trouble_ends_it_from_its_moment_on(stand: Stand) -> None:
    stand.calm.trouble(stand.now - 3)

    assert stand.after(5) == pytest.approx(8, abs=0.1)


def test_old_trouble_changes_nothing(stand: Stand) -> None:
    stand.calm.trouble(stand.now - 500)

    assert stand.after(5) > 60


def test_run_that_may_not_be_asked_for_is_told_by_its_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand(monkeypatch)
    stand.run = ""
    assert stand.after(5) == 0.0
    assert stand.after(5) > 4

    stand.ahead += 5
    assert stand.after(5) == 0.0

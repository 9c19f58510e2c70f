"""Rate: what a text says, and the turns that rates give."""

from __future__ import annotations

import pytest

from aioqueue.models.rate import Rate, next_turn

NOW = 1_000_000_000.0


@pytest.mark.parametrize(
    ("text", "count", "seconds", "burst"),
    [
        ("100/s", 100, 1.0, 0),
        ("10/m", 10, 60.0, 0),
        ("1000/h+50", 1000, 3_600.0, 50),
        ("1/d", 1, 86_400.0, 0),
        ("5/10s", 5, 10.0, 0),
    ],
)
def test_a_text_is_a_rate(text: str, count: int, seconds: float, burst: int) -> None:
    assert Rate.of(text) == Rate(count, seconds, burst)


@pytest.mark.parametrize(
    "text", ["", "100", "100/", "100/x", "0/s", "5/0s", "-1/s", "1.5/s", "100/s+", "1/s\n"]
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must (be as|let)"):
        Rate.of(text)


def test_turns_are_a_pace_apart() -> None:
    marks: dict[str, float] = {}

    turns = [next_turn([Rate(4, 1.0)], marks, NOW) for _ in range(5)]

    assert turns == [NOW, NOW + 0.25, NOW + 0.5, NOW + 0.75, NOW + 1.0]


@pytest.mark.parametrize(("burst", "turns"), [(0, [0.0, 0.25, 0.5]), (2, [0.0, 0.0, 0.0, 0.25, 0.5])])
def test_a_time_with_no_start_saves_up_the_burst_alone(burst: int, turns: list[float]) -> None:
    rate = Rate(4, 1.0, burst)
    marks = {rate.name: NOW - 100}

    assert [next_turn([rate], marks, NOW) - NOW for _ in turns] == turns


def test_all_of_several_rates_hold() -> None:
    marks: dict[str, float] = {}
    rates = [Rate(10, 1.0), Rate(2, 10.0, 1)]

    turns = [next_turn(rates, marks, NOW) - NOW for _ in range(4)]

    assert turns == pytest.approx([0.0, 0.1, 5.0, 10.0])


def test_no_rate_is_no_wait() -> None:
    assert next_turn([], {}, NOW) == NOW

"""Slots: the moments of cron lines, intervals and single moments, whoever asks and whenever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from aioqueue.errors import ConfigurationError
from aioqueue.models.schedule import ScheduleOptions, Timing, When
from aioqueue.slots import SECOND, as_moment, due, micros, next_slot, slots


def at(*when: int) -> int:
    return micros(datetime(*when, tzinfo=UTC))  # type: ignore[arg-type,misc]  # year, month, day, …


def told(when: When, after: int, count: int, **options: object) -> list[str]:
    """Return the first slots after a moment, as local times with their offset."""
    timing = Timing.of("x", when, options)  # type: ignore[arg-type]  # what tests write
    return [as_moment(slot, timing.zone).isoformat() for slot in islice(slots(timing, after), count)]


def test_daily_time_in_the_gap_fires_once_after_it() -> None:
    assert told("30 1 * * *", at(2026, 3, 28, 12), 2, tz="Europe/London") == [
        "2026-03-29T02:00:00+01:00",
        "2026-03-30T01:30:00+01:00",
    ]


def test_daily_time_in_the_fold_fires_the_first_time() -> None:
    assert told("30 1 * * *", at(2026, 10, 24, 12), 2, tz="Europe/London") == [
        "2026-10-25T01:30:00+01:00",
        "2026-10-26T01:30:00+00:00",
    ]


def test_daily_times_of_the_gap_fire_together() -> None:
    assert told("0,30 1,2 * * *", at(2026, 3, 29), 2, tz="Europe/London") == [
        "2026-03-29T02:00:00+01:00",
        "2026-03-29T02:30:00+01:00",
    ]


def test_six_fields_keep_the_same_rule() -> None:
    assert told("15 30 1 * * *", at(2026, 3, 28, 12), 2, tz="Europe/London") == [
        "2026-03-29T02:00:00+01:00",
        "2026-03-30T01:30:15+01:00",
    ]
    assert told("15 30 1 * * *", at(2026, 10, 24, 12), 2, tz="Europe/London") == [
        "2026-10-25T01:30:15+01:00",
        "2026-10-26T01:30:15+00:00",
    ]


def test_minute_and_hour_lines_fire_at_every_real_one() -> None:
    assert told("*/30 1 * * *", at(2026, 10, 24, 12), 4, tz="Europe/London") == [
        "2026-10-25T01:00:00+01:00",
        "2026-10-25T01:30:00+01:00",
        "2026-10-25T01:00:00+00:00",
        "2026-10-25T01:30:00+00:00",
    ]
    assert told("*/30 1 * * *", at(2026, 3, 28, 12), 1, tz="Europe/London") == ["2026-03-30T01:00:00+01:00"]


def test_change_of_half_an_hour_keeps_the_minutes() -> None:
    assert told("40 * * * *", at(2026, 4, 4, 14), 3, tz="Australia/Lord_Howe") == [
        "2026-04-05T01:40:00+11:00",
        "2026-04-05T01:40:00+10:30",
        "2026-04-05T02:40:00+10:30",
    ]


def test_seconds_are_a_sixth_field_in_front() -> None:
    assert told("*/20 * * * * *", at(2026, 1, 1), 3) == [
        "2026-01-01T00:00:20+00:00",
        "2026-01-01T00:00:40+00:00",
        "2026-01-01T00:01:00+00:00",
    ]


@pytest.mark.parametrize(
    ("word", "first"),
    [("@hourly", "T01:00"), ("@daily", "-02T00:00"), ("@Weekly", "-04T00:00"), ("@monthly", "-02-01T00:00")],
)
def test_words_stand_for_lines(word: str, first: str) -> None:
    assert first in told(word, at(2026, 1, 1), 1)[0]


def test_interval_stands_on_the_unix_grid_whoever_asks() -> None:
    assert told(timedelta(hours=6), at(2026, 1, 1, 1), 2) == told(21_600, at(2026, 1, 1, 5, 59), 2)
    assert told(0.2, at(2026, 1, 1), 2) == [
        "2026-01-01T00:00:00.200000+00:00",
        "2026-01-01T00:00:00.400000+00:00",
    ]


def test_interval_counts_from_its_anchor() -> None:
    anchor = datetime(2026, 1, 1, 0, 10, tzinfo=UTC)

    assert told(3600, at(2026, 1, 2), 1, anchor=anchor) == ["2026-01-02T00:10:00+00:00"]
    assert told(3600, at(2025, 6, 1), 1, anchor=anchor) == ["2025-06-01T00:10:00+00:00"]


def test_moment_is_one_slot() -> None:
    timing = Timing.of("x", datetime(2026, 1, 1, tzinfo=UTC), {})

    assert next_slot(timing, at(2025, 12, 31)) == at(2026, 1, 1)
    assert next_slot(timing, at(2026, 1, 1)) is None


def test_last_due_slots_are_found_however_many_there_were() -> None:
    minutes = Timing.of("x", "* * * * *", {})
    years = Timing.of("y", "@yearly", {"tz": "Asia/Tokyo"})
    now = at(2026, 6, 1, 0, 0, 30)

    assert due(minutes, at(1990, 1, 1), now, 2) == [at(2026, 5, 31, 23, 59), at(2026, 6, 1)]
    assert due(minutes, at(2026, 5, 31, 23, 59), now, 9) == [at(2026, 6, 1)]
    assert due(minutes, at(2026, 6, 1), now, 9) == []
    assert due(years, at(2020, 6, 1), now, 2) == [at(2024, 12, 31, 15), at(2025, 12, 31, 15)]


def test_restart_in_between_changes_nothing() -> None:
    timing = Timing.of("x", "17 */5 * * *", {"tz": "America/New_York"})
    through = list(islice(slots(timing, at(2026, 3, 7)), 20))

    assert [next_slot(timing, slot) for slot in through[:-1]] == through[1:]


@pytest.mark.parametrize(
    ("when", "options", "said"),
    [
        ("61 * * * *", {}, "'cron': is no cron line of 5 or 6 fields: Bad minute"),
        ("@dayly", {}, "'cron': is no cron line"),
        ("0 0 31 2 *", {}, "'cron'"),
        (0.01, {}, "'every'"),
        (True, {}, "'every'"),
        (datetime(2026, 1, 1), {}, "'at'"),
        ("@daily", {"tz": "Mars/Base"}, "'tz': is no time zone"),
        ("@daily", {"tz": "../etc"}, "'tz': is no time zone"),
        (60, {"tz": "UTC"}, "only a cron line is read in a time zone"),
        ("@daily", {"anchor": datetime(2026, 1, 1, tzinfo=UTC)}, "only an interval has an anchor"),
        ("@daily", {"misfire": "never"}, "'misfire'"),
        ("@daily", {"catch_up": 0}, "'catch_up'"),
        ("@daily", {"jitter": -1}, "'jitter'"),
        ("@daily", {"colour": 1}, "'colour'"),
    ],
)
def test_what_is_wrong_is_named(when: When, options: ScheduleOptions, said: str) -> None:
    with pytest.raises(ConfigurationError, match="schedule 'tidy': ") as error:
        Timing.of("tidy", when, options)

    assert said in str(error.value)


def test_slot_is_its_moment_again() -> None:
    moment = datetime(2026, 1, 1, 0, 0, 0, 200_000, tzinfo=UTC)

    assert as_moment(micros(moment)) == moment
    assert micros(moment) == micros(moment.timestamp()) == 1_767_225_600 * SECOND + 200_000

"""Cron lines at every transition of every zone there is, 2024 to 2037, against a brute-force reference."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import takewhile
from zoneinfo import ZoneInfo, available_timezones

import pytest

from aioqueue.models.schedule import Timing
from aioqueue.slots import SECOND, next_slot, slots
from tests.support.cron import expected, walk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FIRST, LAST = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (2024, 2038))
DAY, HOUR = 86_400, 3_600

FIXED = (
    "0 0 * * *",
    "30 0 * * *",
    "59 23 * * *",
    "15 1 * * *",
    "0 2 * * *",
    "30 2 * * *",
    "1 3 * * *",
    "30 3 * * 0",
    "0 0,1,2,3,23 * * *",
    "30 1-3 * * *",
    "0,30 2 * * *",
    "10-50/20 1,2 * * *",
    "45 2 * 3,10 *",
    "30 1 1-15 * 0,6",
    "5 2 25-31 * 5",
    "0 4 * * 1-5",
    "20 23 8-14 * *",
    "0 12 * * *",
    "15 0 */2 * *",
)
"""Lines of fixed times of day."""

REAL = (
    "0 * * * *",
    "30 * * * *",
    "15,45 * * * *",
    "20 */2 * * *",
    "5 */3 * * 0,6",
    "*/15 * * * *",
    "*/20 2 * * *",
    "*/30 0-3 * * *",
    "*/10 1,2 * * *",
    "* 2 * * 0",
    "*/7 * * 3,4,9-11 *",
)
"""Minute and hour lines."""

Change = tuple[int, int, int]


def offset(zone: ZoneInfo, second: int) -> int:
    seen = datetime.fromtimestamp(second, zone).utcoffset()
    assert seen is not None
    return int(seen.total_seconds())


def changes(zone: ZoneInfo) -> Iterator[Change]:
    """Yield each moment at which the offset changes, with the one before and the one after."""
    before = offset(zone, FIRST)
    for day in range(FIRST, LAST, DAY):
        after = offset(zone, day + DAY)
        if after != before:
            span = range(day, day + DAY)
            yield span[0] + bisect_left(span, True, key=lambda s: offset(zone, s) == after), before, after
            before = after


def rules() -> dict[tuple[Change, ...], str]:
    """Return the name of one zone for each rule there is."""
    names = sorted(available_timezones() - {"localtime"})
    return {tuple(changes(ZoneInfo(name))): name for name in names}


def through(timing: Timing, start: int, end: int) -> list[int]:
    """Return all slots in between, in Unix seconds."""
    found = takewhile(lambda slot: slot < end * SECOND, slots(timing, start * SECOND))
    return [slot // SECOND for slot in found]


def wrong(name: str, moment: int) -> Iterator[str]:
    """Yield the lines whose slots around a transition are others than the reference has."""
    zone = ZoneInfo(name)
    for lines, reach in ((FIXED, (26 * HOUR, 26 * HOUR)), (REAL, (6 * HOUR, 6 * HOUR))):
        start, end = moment // 60 * 60 - reach[0], moment // 60 * 60 + reach[1]
        walked = walk(zone, start, end)
        for line in lines:
            timing = Timing(cron=line, tz=name)
            got = through(timing, start, end)
            want = [second for second in expected(line, walked) if second > start]
            if got != want:
                yield f"{name} {datetime.fromtimestamp(moment, UTC)} {line!r}: {set(got) ^ set(want)}"
            if [next_slot(timing, second * SECOND) for second in got[:-1:5]] != [
                second * SECOND for second in got[1::5]
            ]:
                yield f"{name} {datetime.fromtimestamp(moment, UTC)} {line!r}: otherwise after a restart"


def test_cron_lines_have_the_reference_s_slots_at_every_transition() -> None:
    known = rules()
    # each transition once, with a zone that has it
    found = {change: name for rule, name in known.items() for change in rule}

    faults = [fault for (moment, _, _), name in found.items() for fault in wrong(name, moment)]

    print(f"{len(known)} rules, {len(found)} transitions, {len(FIXED) + len(REAL)} lines")
    assert faults == []
    assert len(FIXED) + len(REAL) == 30
    assert len(found) > 400

"""Slots: the moments of a timing, in whole microseconds of Unix time. Pure.

A cron line whose minute or hour field begins with ``*`` has a slot at every real moment that matches: none
in a gap, two in a fold. Any other has fixed times of day: each is a slot once on a date; in a gap, the first
moment after it; in a fold, the first of the two. cronsim says which local times match; which of them are
real is said here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import takewhile
from typing import Final

from cronsim import CronSim

from aioqueue.models.schedule import Timing

SECOND: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1)
_STRIDE: Final = 86_400
"""Seconds within which no zone changes twice."""
_FIRST: Final = 60 * SECOND
_WIDER: Final = 8


def micros(moment: float | datetime) -> int:
    """Return a moment, in Unix seconds or aware, in microseconds."""
    if isinstance(moment, datetime):
        return (moment.astimezone(UTC).replace(tzinfo=None) - _EPOCH) // timedelta(microseconds=1)
    return round(moment * SECOND)


def as_moment(slot: int, zone: tzinfo = UTC) -> datetime:
    """Return a slot as an aware datetime."""
    return datetime.fromtimestamp(slot // SECOND, zone).replace(microsecond=slot % SECOND)


def slots(timing: Timing, after: int) -> Iterator[int]:
    """Yield the slots later than *after*, in order."""
    if timing.at is not None:
        yield from (slot for slot in (micros(timing.at),) if slot > after)
    elif timing.every is not None:
        step, first = round(timing.every * SECOND), 0 if timing.anchor is None else micros(timing.anchor)
        slot = first + ((after - first) // step + 1) * step
        while True:
            yield slot
            slot += step
    elif timing.cron is not None:
        minute, hour = timing.cron.split()[-5:-3]
        kind = _every_real if minute.startswith("*") or hour.startswith("*") else _fixed_times
        for second in kind(timing.cron, timing.zone, after // SECOND):
            yield second * SECOND


def next_slot(timing: Timing, after: int) -> int | None:
    """Return the first slot later than *after*, or None."""
    return next(slots(timing, after), None)


def due(timing: Timing, after: int, now: int, most: int) -> list[int]:
    """Return the last *most* slots later than *after* and not later than *now*, in order."""
    span = _FIRST
    while True:
        # after a long time not all are gone through, where only the last are wanted
        begin = max(after, now - span)
        found = deque(takewhile(lambda slot: slot <= now, slots(timing, begin)), maxlen=most)
        if len(found) == most or begin == after:
            return list(found)
        span *= _WIDER


def _fixed_times(line: str, zone: tzinfo, after: int) -> Iterator[int]:
    """Yield seconds: the first real moment of each local time that matches, once where several share it."""
    for local in CronSim(line, _local(after, zone)):
        second = _first_real(local, zone)
        if second > after:
            yield second
            after = second


def _every_real(line: str, zone: tzinfo, after: int) -> Iterator[int]:
    """Yield seconds: every real moment whose local time matches, stretch by stretch of one offset."""
    offset = _offset(after, zone)
    while True:
        change = None
        for local in CronSim(line, _naive(after + offset)):
            second = _seconds(local) - offset
            change = _change(after, second, offset, zone)
            if change is not None:
                # the moment of the change is within the next stretch
                after, offset = change - 1, _offset(change, zone)
                break
            yield second
            after = second
        if change is None:
            return


def _change(after: int, until: int, offset: int, zone: tzinfo) -> int | None:
    """Return the first moment later than *after*, and not later than *until*, of another offset."""
    while after < until:
        look = min(until, after + _STRIDE)
        if _offset(look, zone) != offset:
            return _first(after + 1, look, lambda second: _offset(second, zone) != offset)
        after = look
    return None


def _first_real(local: datetime, zone: tzinfo) -> int:
    """Return the first moment at which it is *local*; in a gap, the first one after it."""
    second = int(local.replace(tzinfo=zone).timestamp())
    if _local(second, zone) == local:
        return second
    before = int(local.replace(tzinfo=zone, fold=1).timestamp())
    return _first(before + 1, second, lambda moment: _local(moment, zone) > local)


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """Return the first second from *low* to *high* for which *holds*, as it does for all later ones."""
    return low + bisect_left(range(low, high), True, key=holds)


def _offset(second: int, zone: tzinfo) -> int:
    return _seconds(_local(second, zone)) - second


def _local(second: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(second, zone).replace(tzinfo=None, fold=0)


def _naive(second: int) -> datetime:
    return _EPOCH + timedelta(seconds=second)


def _seconds(naive: datetime) -> int:
    return (naive - _EPOCH) // timedelta(seconds=1)

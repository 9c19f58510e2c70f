"""A reference for cron lines: walk the UTC minutes, match the local fields. Nothing of the library is used.

A minute or hour line, one of these fields beginning with ``*``, has a slot at every real minute that matches;
any other at the first real minute of each local time that matches, or else at the first one after the gap.
"""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo

Walk = list[tuple[datetime, int]]
SPANS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def walk(zone: tzinfo, start: int, end: int) -> tuple[Walk, Walk]:
    """Return each local time with its Unix second: all real ones; and each once, as fixed times have it."""
    real = [(datetime.fromtimestamp(s, zone).replace(tzinfo=None, fold=0), s) for s in range(start, end, 60)]
    once, reached, minute = list[tuple[datetime, int]](), real[0][0], timedelta(minutes=1)
    for local, second in real[1:]:
        while reached < local:
            reached += minute
            once.append((reached, second))
    return real, once


def expected(line: str, walked: tuple[Walk, Walk]) -> list[int]:
    """Return the slots of *line* among the minutes that are walked."""
    words = line.split()
    minutes, hours, dates, months, days = (
        {n for part in word.split(",") for n in _numbers(part, *span)}
        for word, span in zip(words, SPANS, strict=True)
    )
    either = words[2][0] != "*" and words[4][0] != "*"
    days = {day % 7 for day in days}
    pairs = walked[0 if "*" in (words[0][0], words[1][0]) else 1]
    found = {
        second
        for local, second in pairs
        if local.minute in minutes and local.hour in hours and local.month in months
        if (any if either else all)((local.day in dates, local.isoweekday() % 7 in days))
    }
    return sorted(found)


def _numbers(part: str, low: int, high: int) -> range:
    span, _, step = part.partition("/")
    first, dash, last = span.partition("-")
    if span == "*":
        return range(low, high + 1, int(step or 1))
    return range(int(first), int(last if dash else high if step else first) + 1, int(step or 1))

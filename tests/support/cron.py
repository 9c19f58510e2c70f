"""A reference for cron lines: walk the UTC minutes, match the local fields. Nothing of the library is used.

A line whose minute or hour begins with ``*`` has a slot at every real minute that matches; any other has one
for each local time that matches, at the first real minute at which that has come.
"""

import re
from datetime import datetime, timedelta, tzinfo

Walk = list[tuple[datetime, int]]
SPANS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def walk(zone: tzinfo, start: int, end: int) -> tuple[Walk, Walk]:
    """Return each local time with its Unix second: each once, as fixed times have it; and all real ones."""
    real = [(datetime.fromtimestamp(s, zone).replace(tzinfo=None, fold=0), s) for s in range(start, end, 60)]
    once, reached = list[tuple[datetime, int]](), real[0][0]
    for local, second in real[1:]:
        while reached < local:
            once.append((reached := reached + timedelta(minutes=1), second))
    return once, real


def expected(line: str, walked: tuple[Walk, Walk]) -> list[int]:
    """Return the slots of *line* among the minutes that are walked."""
    words = line.split()
    minutes, hours, dates, months, days = map(_numbers, words, SPANS)
    by_day = all if "*" in words[2][0] + words[4][0] else any

    def matches(at: datetime) -> bool:
        day = by_day((at.day in dates, days & {at.isoweekday(), at.isoweekday() % 7}))
        return day and at.minute in minutes and at.hour in hours and at.month in months

    return sorted({second for at, second in walked["*" in words[0][0] + words[1][0]] if matches(at)})


def _numbers(word: str, span: tuple[int, int]) -> set[int]:
    parts = re.findall(r"(\d+)-?(\d*)/?(\d*)", word.replace("*", f"{span[0]}-{span[1]}"))
    return {n for a, b, s in parts for n in range(int(a), int(b or (span[1] if s else a)) + 1, int(s or 1))}

"""Rate: how many starts in how much time, as a user writes it: ``"100/s"``.

Starts are spread evenly. Of one rate a single moment is kept: when the next start would come if all of
them had kept to the pace.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_TEXT: Final = re.compile(r"(\d{1,9})/(\d{0,6})([smhd])(?:\+(\d{1,9}))?")
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


@dataclass(frozen=True, slots=True)
class Rate:
    """count starts in *seconds*; *burst* more may come at once after a time with none."""

    count: int
    seconds: float
    burst: int = 0

    @classmethod
    def of(cls, text: str) -> Rate:
        """Return what *text* says: ``100/s``, ``10/5m``, ``1000/h+50``. Raises ValueError."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError("must be as '100/s', '10/m', '5/10s' or '1000/h+50', by s, m, h or d")
        count, times = int(found[1]), int(found[2] or 1)
        if not count or not times:
            raise ValueError("must let something start: neither number may be 0")
        return cls(count, times * _UNITS[found[3]], int(found[4] or 0))

    @property
    def pace(self) -> float:
        """Seconds from one start to the next."""
        return self.seconds / self.count

    @property
    def name(self) -> str:
        """The same for all that says the same."""
        return f"{self.count}/{self.seconds:g}s+{self.burst}"


def next_turn(rates: Sequence[Rate], marks: dict[str, float], now: float) -> float:
    """Return the first moment, from *now* on, at which all *rates* let one more start; it is taken.

    marks: of each rate, by name, when the next start is due by its pace (Unix seconds); changed here.
    """
    known = [(rate, marks.get(rate.name, 0.0)) for rate in rates]
    turn = max([now, *(mark - rate.burst * rate.pace for rate, mark in known)])
    for rate, mark in known:
        marks[rate.name] = max(mark, turn) + rate.pace
    return turn

"""Limits: what a consumer asks its broker before it starts a task that is limited.

A slot is held by whoever holds the message, under the receipt it was admitted by, and by nobody else: no
end of a task has to give it back, and a crash cannot keep it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aioqueue.models.rate import Rate


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for a task. scope: whose starts and slots are counted together. running: slots, or None."""

    scope: str
    rates: tuple[Rate, ...] = ()
    running: int | None = None

    @property
    def paced(self) -> str:
        """Among whom turns are dealt: one is a turn of these rates, and none once there are others."""
        return f"{','.join(rate.name for rate in self.rates)} {self.scope}"


LATE: Final = 1.0
"""Seconds by which a task may come late to its turn and still has it."""

EARLY: Final = 0.001
"""Seconds by which it may come early: clocks of services count in milliseconds."""

PARKED: Final = 3_600.0
"""Seconds for which a task is put off at most: then it asks again. One that waits for a slot is woken long
before, when there is one. It is far less than COMMIT_TTL: what was cancelled comes up while that is known.
"""

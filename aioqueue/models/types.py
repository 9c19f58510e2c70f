"""Types of fields that several models share: names, durations, moments.

A duration is seconds, or a timedelta; a moment is an aware datetime, never a naive one. In calls
a number is never read from a bool or a string; in settings it is, as variables are strings.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from aioqueue.ids import NAME_PATTERN

LONGEST: Final = 100 * 366 * 86_400.0
"""Longest duration a call may name, in seconds."""


def _as_seconds(value: object) -> object:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise PydanticCustomError("finite_seconds", "must be a finite number of seconds")
    return value


def _seconds_or_moment(value: Any) -> float | datetime:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise PydanticCustomError("timezone_aware", "needs an aware datetime; add a tzinfo")
        return value
    seconds = _as_seconds(value)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise PydanticCustomError("seconds_or_moment", "must be seconds, a timedelta or an aware datetime")
    if not 0 <= seconds <= LONGEST:
        raise PydanticCustomError("seconds_range", "must be 0 or more seconds, and at most a hundred years")
    return float(seconds)


def duration(value: object) -> float:
    """Return seconds. Raises ValueError for what is neither 0 or more seconds nor such a timedelta."""
    seconds = None if isinstance(value, datetime) else _seconds_or_moment(value)
    if not isinstance(seconds, float):
        raise ValueError("must be seconds or a timedelta; a moment is 'eta'")
    return seconds


def when(eta: object, delay: object) -> tuple[float | None, float]:
    """Return eta as Unix seconds and delay in seconds. Raises ValueError unless one of them is given."""
    if (eta is None) == (delay is None):
        raise ValueError("takes eta or delay, one of them")
    if eta is not None:
        if not isinstance(eta, datetime) or eta.tzinfo is None:
            raise ValueError("'eta' needs an aware datetime; add a tzinfo")
        return eta.timestamp(), 0.0
    return None, duration(delay)


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Duration = Annotated[float, BeforeValidator(_as_seconds), AfterValidator(_finite), Field(ge=0, le=LONGEST)]
Seconds = Annotated[
    float, BeforeValidator(_as_seconds), AfterValidator(_finite), Field(ge=0, le=LONGEST, strict=True)
]
Expiry = Annotated[float | datetime, BeforeValidator(_seconds_or_moment)]
Priority = Annotated[int, Field(ge=0, le=9, strict=True)]

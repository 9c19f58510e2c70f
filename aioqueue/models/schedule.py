"""Timing: when a schedule has its slots, and what becomes of those that were missed or overlap. Data.

A slot is a moment of the schedule's own, on the Unix grid and never counted from when a process
started; ``aioqueue.slots`` reckons them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypedDict, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from aioqueue.errors import ConfigurationError
from aioqueue.models.types import Seconds

When = str | timedelta | float | datetime
"""A cron line or ``@daily`` and the like; seconds or a timedelta between slots; or one aware moment."""

Misfire = Literal["skip", "once", "all"]
Overlap = Literal["allow", "skip", "cancel_previous"]
Source = Literal["code", "data"]

SHORTEST: Final = 0.1
"""Fewest seconds between the slots of an interval."""

_ALIASES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class ScheduleOptions(TypedDict, total=False):
    """What a schedule may be told besides its moments; each is explained at the field of Timing."""

    tz: str
    anchor: datetime | None
    misfire: Misfire
    catch_up: int
    overlap: Overlap
    jitter: float | timedelta


class Timing(BaseModel):
    """When a schedule has its slots, by one of *cron*, *every* and *at*, and how they are kept.

    cron: a line of 5 fields, or of 6 with seconds first. tz: the zone it is read in. every: seconds from slot
    to slot, counted from *anchor*, by default from the beginning of 1970. at: the only slot. misfire: of
    slots that were missed, none runs (``skip``), the last one (``once``), or the last *catch_up* (``all``).
    overlap: whether a slot runs beside the one before (``allow``), not at all while that has not ended
    (``skip``), or in its place (``cancel_previous``). jitter: seconds up to which each slot is put off, by as
    much each time it is asked.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    cron: str | None = None
    every: Annotated[Seconds, Field(ge=SHORTEST)] | None = None
    at: AwareDatetime | None = None
    tz: str = "UTC"
    anchor: AwareDatetime | None = None
    misfire: Misfire = "once"
    catch_up: Annotated[int, Field(ge=1, le=1000, strict=True)] = 100
    overlap: Overlap = "allow"
    jitter: Annotated[Seconds, Field(le=86_400)] = 0.0

    @classmethod
    def of(cls, name: str, when: When, options: ScheduleOptions) -> Self:
        """Return the timing of the schedule *name*. Raises ConfigurationError naming what is wrong."""
        fields: dict[str, Any] = {**_moments(when), **cast("Mapping[str, Any]", options)}
        try:
            made = cls.model_validate(fields)
        except ValidationError as exc:
            error = exc.errors(include_url=False)[0]
            raise ConfigurationError(
                f"schedule {name!r}: {error['loc'][0]!r}: {error['msg']} (got {error['input']!r})"
            ) from None
        if made.cron is None and "tz" in options:
            raise ConfigurationError(f"schedule {name!r}: only a cron line is read in a time zone; drop tz=")
        if made.every is None and made.anchor is not None:
            raise ConfigurationError(f"schedule {name!r}: only an interval has an anchor; drop anchor=")
        return made

    @property
    def zone(self) -> ZoneInfo:
        """The zone its cron line is read in."""
        return ZoneInfo(self.tz)

    @property
    def digest(self) -> str:
        """What tells its slots from those of another timing."""
        told = self.model_dump_json(include={"cron", "every", "at", "tz", "anchor"})
        return hashlib.sha256(told.encode()).hexdigest()[:12]

    def __str__(self) -> str:
        if self.cron is not None:
            return self.cron
        return f"at {self.at.isoformat()}" if self.at is not None else f"every {self.every:g} s"

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, value: str | None) -> str | None:
        if value is None:
            return None
        line = " ".join(_ALIASES.get(value.strip().lower(), value).split())
        try:
            # one that never comes true is told here as well
            next(CronSim(line, datetime(2024, 1, 1)))
        except CronSimError as exc:
            raise PydanticCustomError(
                "cron", "is no cron line of 5 or 6 fields: {why}", {"why": str(exc)}
            ) from None
        except StopIteration:
            raise PydanticCustomError("cron", "never comes true") from None
        return line

    @field_validator("tz")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise PydanticCustomError(
                "tz", "is no time zone; write one as 'Europe/London', or install tzdata"
            ) from None
        return value


class ScheduleState(BaseModel):
    """A schedule as a person reads it. Moments are Unix seconds.

    when: its cron line, interval or moment. task: the name of what it sends. next_at: its next slot,
    None where there is none, or while it is *paused*. last_at: its last slot that was dealt with.
    last_id: id of the last task, or workflow, that it sent.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    name: str
    when: str
    tz: str
    task: str
    source: Source
    paused: bool
    next_at: float | None
    last_at: float | None
    last_id: str | None
    misfire: Misfire
    catch_up: int
    overlap: Overlap
    jitter: float


def _moments(when: object) -> dict[str, Any]:
    match when:
        case str():
            return {"cron": when}
        case datetime():
            return {"at": when}
        case _:
            return {"every": when}

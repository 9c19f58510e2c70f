"""Ticks: a schedule, what it sends for a slot, and how far it has come. Pure.

A tick is (schedule, slot), and what it sends has an id made of both: whoever sends it again runs nothing.
How far a schedule has come stands in the shared map, one value a schedule and timing, and moves by
compare-and-set alone. First a slot is claimed there, then its tick is sent, then the claim becomes the
last slot: who finds a claim that stays sends the same ids, so a crash in between repeats and loses nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, cast

import orjson

from aioqueue.errors import ConfigurationError
from aioqueue.ids import derived_id, is_name
from aioqueue.models.schedule import ScheduleOptions, Source, Timing, When
from aioqueue.models.signature import Link, PlainOptions, Signature
from aioqueue.models.workflow import Workflow
from aioqueue.packing import checked
from aioqueue.slots import SECOND, as_moment

SCHEDULE: Final = "aioqueue-schedule"
"""Header of what a schedule sends: its name."""
SLOT: Final = "aioqueue-slot"
"""Header of what a schedule sends: the slot, as an ISO moment in UTC."""

KEPT: Final = 300.0
"""Seconds for which the record of a tick is kept at least when it has ended, so that its id is known."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule. make: makes the call it sends, as the annotations of a task may look ahead."""

    name: str
    timing: Timing
    make: Callable[[], Signature[Any]]
    source: Source = "code"

    @classmethod
    def of(cls, name: str, when: When, call: object, options: ScheduleOptions) -> Schedule:
        """Return the schedule that sends *call*: a call, a workflow, or a task.

        Raises ConfigurationError.
        """
        if not is_name(name):
            raise ConfigurationError(f"{name!r} cannot name a schedule; give one of 1-128 of A-Za-z0-9._:/@-")
        timing = Timing.of(name, when, options)
        if isinstance(call, Signature):
            known = fit(name, cast("Signature[Any]", call))
            return cls(name, timing, lambda: known)
        if isinstance(call, Link):
            raise ConfigurationError(
                f"schedule {name!r}: {call.signature.name}.p(...) still wants a previous result; make the "
                "complete call with .s(...)"
            )
        make = getattr(call, "s", None)
        if not callable(make):
            raise ConfigurationError(
                f"schedule {name!r}: it sends a task, a call or a workflow, not {call!r}"
            )
        return cls(name, timing, lambda: fit(name, cast("Signature[Any]", make())))

    def tick(self, slot: int, usual: float = KEPT) -> Signature[Any]:
        """Return what is sent for *slot*, the same each time. usual: seconds for which its record is kept.

        It is due at the slot by the clock of the store, whose queue holds it until then should the clock
        here be fast. Raises SignatureError, where the call does not fit its task.
        """
        call = self.make()
        late = self.jitter(slot)
        expires = call.expires
        given: PlainOptions = {
            "id": tick_id(self.name, slot),
            "eta": as_moment(slot + late),
            "headers": {**call.headers, SCHEDULE: self.name, SLOT: as_moment(slot).isoformat()},
        }
        if isinstance(expires, int | float):
            # they are counted from the sending, which jitter does not put off
            given["expires"] = expires + late / SECOND
        # a workflow is known for an hour at least
        if not isinstance(call, Workflow) and _first(call.result_ttl, usual) < KEPT:
            given["result_ttl"] = KEPT
        return call.options(**given)

    def jitter(self, slot: int) -> int:
        """Return the microseconds by which *slot* is put off."""
        drawn = hashlib.blake2s(tick_id(self.name, slot).encode(), digest_size=8).digest()
        return round(self.timing.jitter * SECOND * int.from_bytes(drawn) / 2**64)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a schedule has come.

    slot: no slot up to it fires any more. pending: slots after it that are claimed, to be sent and then
    passed. last: id of what was last sent, or None. by: the ticker that wrote this.
    """

    slot: int
    pending: tuple[int, ...] = ()
    last: str | None = None
    by: str = ""

    def encoded(self) -> bytes:
        """Return it as it stands in the shared map."""
        return orjson.dumps({"slot": self.slot, "pending": self.pending, "last": self.last, "by": self.by})

    @classmethod
    def decoded(cls, data: bytes) -> Cursor:
        """Return what *data* holds."""
        read = orjson.loads(data)
        return cls(read["slot"], tuple(read["pending"]), read["last"], read["by"])


def tick_id(name: str, slot: int) -> str:
    """Return the id of what is sent for a slot: ``<name>.<seconds>``, with ``-<micros>`` if there are."""
    seconds, rest = divmod(slot, SECOND)
    return derived_id(name, f"{seconds}-{rest:06d}" if rest else str(seconds))


def fit(name: str, call: Signature[Any]) -> Signature[Any]:
    """Return *call* if the schedule *name* can send it again and again.

    Raises ConfigurationError, SignatureError.
    """
    for field in ("id", "eta"):
        if getattr(call, field) is not None:
            raise ConfigurationError(
                f"schedule {name!r}: {call.name}: {field}= is the schedule's to give; leave it out"
            )
    return checked(call)


def expiry(next_slot: int | None, now: int) -> float:
    """Return the seconds a cursor is kept: 30 days past the moment it is next to be moved."""
    ahead = 0 if next_slot is None else max(0, next_slot - now)
    return ahead / SECOND + timedelta(days=30).total_seconds()


def _first(own: float | None, usual: float) -> float:
    return usual if own is None else own

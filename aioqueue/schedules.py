"""Schedules: those declared in code and those kept as data, as people and tickers see them.

Code declares, data pauses: where a name stands in both, code says when and what, and the shared map
whether it is paused. Whoever changes something writes it first and then a new version, the one value that
tickers watch.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, ClassVar, Final, Literal, Unpack

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from aioqueue.errors import ConfigurationError, ScheduleNotFoundError
from aioqueue.ids import is_name, new_id
from aioqueue.models.schedule import ScheduleOptions, ScheduleState, Timing, When
from aioqueue.models.signature import Call, Signature
from aioqueue.protocols.store import Store
from aioqueue.results import AsyncResult
from aioqueue.slots import SECOND, as_moment, micros, next_slot, slots
from aioqueue.stores import Stores
from aioqueue.ticks import SCHEDULE, Cursor, Schedule

_log = logging.getLogger("aioqueue.schedules")

VERSION: Final = "schedule:version"
"""Where the version stands: another value, whenever something has changed."""

_DEFINITIONS: Final = "schedule:def:"
_FLAGS: Final = "schedule:flag:"
_CURSORS: Final = "schedule:tick:"


class _Definition(BaseModel):
    """A schedule as it is kept."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1]
    timing: Timing
    call: Call


@dataclass(frozen=True, slots=True)
class Entry:
    """A schedule as it stands. since: no slot up to it fires; None where nobody has said so."""

    schedule: Schedule
    paused: bool = False
    since: int | None = None

    @property
    def key(self) -> str:
        """Where it stands how far it has come; another timing begins anew."""
        return f"{_CURSORS}{self.schedule.timing.digest}:{self.schedule.name}"

    def past(self, cursor: Cursor) -> int:
        """Return the moment up to which no slot fires any more."""
        return cursor.slot if self.since is None else max(cursor.slot, self.since)


def shared_map(stores: Stores) -> Store:
    """Return the map in which schedules stand. Raises ConfigurationError where there is none."""
    if stores.store is None:
        raise ConfigurationError(
            f"schedules stand in a map that processes share, and neither the broker {stores.urls[0]} nor the "
            f"backend {stores.urls[1]} has one; name a store that has, as backend='redis://…'"
        )
    return stores.store


async def standing(store: Store, declared: Mapping[str, Schedule]) -> dict[str, Entry]:
    """Return every schedule there is, by name. Raises UnavailableError."""
    found = {name: Entry(schedule) for name, schedule in declared.items()}
    for name, data in _below(await store.list(_DEFINITIONS), _DEFINITIONS):
        schedule = _defined(name, data)
        if name not in declared and schedule is not None:
            found[name] = Entry(schedule)
    for name, data in _below(await store.list(_FLAGS), _FLAGS):
        if name in found:
            flag = orjson.loads(data)
            found[name] = Entry(found[name].schedule, flag["paused"], flag["since"])
    return found


class Schedules:
    """What ``server.schedules`` is: schedules are added, listed, paused and triggered, in any process.

    All methods raise ConfigurationError where no store keeps schedules or the server is not open,
    UnavailableError, and for a name that nobody knows ScheduleNotFoundError.
    """

    def __init__(
        self,
        stores: Stores,
        declared: Mapping[str, Schedule],
        send: Callable[[Signature[Any]], Awaitable[AsyncResult[Any]]],
        opened: Callable[[], object],
    ) -> None:
        self._stores = stores
        self._declared = declared
        self._send = send
        self._opened = opened

    async def add(
        self, name: str, when: When, call: Signature[Any], **options: Unpack[ScheduleOptions]
    ) -> ScheduleState:
        """Keep a schedule that sends *call* at each slot of *when*, in place of one of that name.

        Slots count from now on; where the slots are as before, from where that one has come to. One that is
        paused stays so. Raises SignatureError too.
        """
        store = self._store
        if name in self._declared:
            raise ConfigurationError(f"schedule {name!r} is declared in code; choose another name")
        schedule = Schedule.of(name, when, call, options)
        before = (await standing(store, {})).get(name)
        if before is None or before.schedule.timing.digest != schedule.timing.digest:
            await self._flag(name, paused=before is not None and before.paused)
        kept = _Definition(v=1, timing=schedule.timing, call=schedule.make())
        data = kept.model_dump_json(exclude_unset=True).encode()
        await store.put(_DEFINITIONS + name, data)
        await self._changed()
        return await self.get(name)

    async def remove(self, name: str) -> None:
        """Drop a schedule; what it has sent runs on. One that is declared in code ends with the code."""
        entry = await self._entry(name)
        if name in self._declared:
            raise ConfigurationError(
                f"schedule {name!r} is declared in code; remove it there, or pause it here"
            )
        for key in (_DEFINITIONS + name, _FLAGS + name, entry.key):
            await self._store.delete(key)
        await self._changed()

    async def list(self) -> Sequence[ScheduleState]:
        """Return every schedule, in the order of the names."""
        entries = await standing(self._store, self._declared)
        cursors = await self._store.list(_CURSORS)
        return [self._state(entries[name], cursors.get(entries[name].key)) for name in sorted(entries)]

    async def get(self, name: str) -> ScheduleState:
        """Return one schedule."""
        entry = await self._entry(name)
        return self._state(entry, await self._store.get(entry.key))

    async def pause(self, name: str) -> None:
        """Let no slot fire from now on, in every process within a second."""
        await self._entry(name)
        await self._flag(name, paused=True)
        await self._changed()

    async def resume(self, name: str) -> None:
        """Let slots fire again; those of the pause are no misfires, and never do."""
        await self._entry(name)
        await self._flag(name, paused=False)
        await self._changed()

    async def trigger(self, name: str) -> AsyncResult[Any]:
        """Send what it sends now, once more, whether it is paused or not; its slots stay as they are."""
        call = (await self._entry(name)).schedule.make()
        return await self._send(call.options(headers={**call.headers, SCHEDULE: name}))

    async def next(self, name: str, n: int = 1) -> Sequence[datetime]:
        """Return the next *n* slots from now on, in its time zone, whether it is paused or not."""
        timing = (await self._entry(name)).schedule.timing
        return [as_moment(slot, timing.zone) for slot in islice(slots(timing, self._now), n)]

    @property
    def _store(self) -> Store:
        self._opened()
        return shared_map(self._stores)

    @property
    def _now(self) -> int:
        return micros(self._stores.clock.time())

    async def _entry(self, name: str) -> Entry:
        found = (await standing(self._store, self._declared)).get(name) if is_name(name) else None
        if found is None:
            raise ScheduleNotFoundError(f"there is no schedule {name!r}, in this app's code or in the store")
        return found

    async def _flag(self, name: str, *, paused: bool) -> None:
        await self._store.put(_FLAGS + name, orjson.dumps({"paused": paused, "since": self._now}))

    async def _changed(self) -> None:
        await self._store.put(VERSION, new_id().encode())

    def _state(self, entry: Entry, cursor: bytes | None) -> ScheduleState:
        schedule, timing = entry.schedule, entry.schedule.timing
        come = None if cursor is None else Cursor.decoded(cursor)
        coming = None if entry.paused else next_slot(timing, self._now)
        return ScheduleState(
            name=schedule.name,
            when=str(timing),
            tz=timing.tz,
            task=schedule.make().name,
            source=schedule.source,
            paused=entry.paused,
            next_at=None if coming is None else coming / SECOND,
            last_at=None if come is None or come.last is None else come.slot / SECOND,
            last_id=None if come is None else come.last,
            misfire=timing.misfire,
            catch_up=timing.catch_up,
            overlap=timing.overlap,
            jitter=timing.jitter,
        )


def _below(found: Mapping[str, bytes], prefix: str) -> Sequence[tuple[str, bytes]]:
    return [(key.removeprefix(prefix), data) for key, data in found.items()]


def _defined(name: str, data: bytes) -> Schedule | None:
    """Return the schedule that is kept; None, and a word in the log, for one this version cannot read."""
    try:
        kept = _Definition.model_validate_json(data)
    except ValidationError as exc:
        error = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, error["loc"]))
        _log.error("schedule %s is left out, it cannot be read: %s: %s", name, where, error["msg"])
        return None
    return Schedule(name, kept.timing, lambda: kept.call, "data")

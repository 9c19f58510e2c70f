"""Ticker: fires the slots of schedules. Any number may tick at once; none of them leads.

For each tick: claim the slot by compare-and-set, send under the tick's id, then write that it is passed.
A claim that stays where it was is finished by whoever has looked at it for a second: the ids are the same,
so what was sent already runs nothing. No slot is sent without a claim, and a passed one is never claimed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Final, cast

from aioqueue.clock import passing
from aioqueue.dispatch import Dispatcher
from aioqueue.errors import (
    ConfigurationError,
    PayloadTooLargeError,
    QueueFullError,
    SignatureError,
    UnavailableError,
    UniqueConflictError,
)
from aioqueue.ids import new_id
from aioqueue.packing import Packer
from aioqueue.results import Reading
from aioqueue.router import Router
from aioqueue.schedules import VERSION, Entry, shared_map, standing
from aioqueue.slots import SECOND, as_moment, due, micros, next_slot
from aioqueue.stores import Stores
from aioqueue.ticks import Cursor, Schedule, expiry
from aioqueue.worker.backoff import Backoff
from aioqueue.worker.options import WorkerOptions

_log = logging.getLogger("aioqueue.schedules")

LOOK: Final = 5.0
"""Seconds between looks at the version, should word of a change have been lost."""

_BETWEEN: Final = 0.2
"""Seconds between looks at the least, though one change follows the other."""

_AGAIN: Final = 30.0
"""Seconds after which all schedules are read again, whatever the version: who changed them may have died."""

_AFTER_YOU: Final = 0.05
"""Seconds by which one goes first that has ticked last, so that all others find it done."""

_HELP: Final = 1.0
"""Seconds for which a claim of somebody else is looked at before it is finished for them."""

_ON_TIME: Final = 60 * SECOND
"""Microseconds after which a slot is missed, though no other has followed."""

_TOGETHER: Final = 20
"""Ticks that are under way at once."""


@dataclass(slots=True)
class _Hand:
    """A schedule in a ticker's hands. at: Unix seconds of the next look at how far it has come.

    seen: a claim of somebody else, and until when it is left to them, in seconds that have passed.
    """

    entry: Entry
    at: float = 0.0
    seen: tuple[bytes, float] | None = None


class Ticker:
    """Fires the schedules of *router* and of the store; *options* are those of the process it is in.

    Raises ConfigurationError where the stores have no shared map.
    """

    def __init__(self, stores: Stores, router: Router, options: WorkerOptions) -> None:
        self._store = shared_map(stores)
        self._results = stores.results()
        self._clock = stores.clock
        self._passed = passing(stores.clock)
        self._router = router
        self._usual_ttl = options.result_ttl
        self._dispatcher = Dispatcher(
            stores.broker,
            stores.submitter(),
            Packer(options.queue, options.max_payload),
            self._results,
            lambda name: Reading(),
            clock=stores.clock,
            limit=options.max_queue,
        )
        self._id = new_id()
        self._hands: dict[str, _Hand] = {}
        self._declared: Mapping[str, Schedule] = {}
        self._version: bytes | None = None
        self._looked = self._look_at = self._read_at = float("-inf")
        self._woken = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Tick until *stop*; a change of schedules is told by the store."""
        backoff = Backoff()
        stopping = asyncio.create_task(stop.wait(), name="aioqueue-ticker-stop")
        stopping.add_done_callback(lambda _: self._woken.set())
        try:
            while not stop.is_set():
                try:
                    with self._store.watch(VERSION, self._woken):
                        # what was said while nobody listened
                        self._woken.set()
                        while not stop.is_set():
                            await self.round()
                            backoff.reset()
                            await self._rest()
                except UnavailableError as exc:
                    _log.warning("schedules put off: %s", exc)
                    await backoff.wait(stop)
        finally:
            stopping.cancel()

    async def round(self) -> None:
        """Read the schedules if they have changed, and fire what is due. Raises UnavailableError."""
        if self._woken.is_set():
            self._woken.clear()
            self._look_at = min(self._look_at, self._looked + _BETWEEN)
        if monotonic() >= self._look_at:
            await self._read()
        now = self._clock.time()
        waiting = [hand for hand in self._hands.values() if hand.at <= now]
        for first in range(0, len(waiting), _TOGETHER):
            # whoever fails, the others are waited for
            ended = await asyncio.gather(
                *map(self._tick, waiting[first : first + _TOGETHER]), return_exceptions=True
            )
            for error in ended:
                if error is not None:
                    raise error

    async def _rest(self) -> None:
        """Wait for word or the next slot by the clock, but in real time no longer than to the next look."""
        coming = min((hand.at for hand in self._hands.values()), default=float("inf"))
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._look_at - monotonic())):
                await self._clock.wait(self._woken, until=None if coming == float("inf") else coming)

    async def _read(self) -> None:
        passed, declared = monotonic(), self._router.scheduled
        version = await self._store.get(VERSION)
        if version != self._version or declared != self._declared or passed >= self._read_at:
            entries = await standing(self._store, declared)
            old = {(hand.entry.key, hand.entry.since): hand for hand in self._hands.values()}
            self._hands = {name: _Hand(entry) for name, entry in entries.items() if not entry.paused}
            for hand in self._hands.values():
                if (before := old.get((hand.entry.key, hand.entry.since))) is not None:
                    # its slots are the same, whatever it sends
                    hand.at, hand.seen = before.at, before.seen
            self._version, self._declared, self._read_at = version, dict(declared), passed + _AGAIN
        self._looked, self._look_at = passed, passed + LOOK

    async def _tick(self, hand: _Hand) -> None:
        """Bring one schedule as far as it can be brought now."""
        data = await self._store.get(hand.entry.key)
        if data is None:
            first = self._now if hand.entry.since is None else hand.entry.since
            await self._put(hand, Cursor(first), expected=None)
            return
        cursor = Cursor.decoded(data)
        if cursor.pending:
            if cursor.by != self._id and not self._is_left(hand, data):
                return
            if cursor.pending[-1] <= hand.entry.past(cursor):
                # it was claimed before a pause, and may have been sent, run and forgotten since
                await self._put(
                    hand, Cursor(cursor.pending[-1], last=cursor.last, by=self._id), expected=data
                )
                return
        else:
            chosen = await self._choice(hand.entry, cursor)
            if chosen is None:
                self._await_slot(hand, cursor)
                return
            if not await self._put(hand, chosen, expected=data):
                self._look_again(hand, _AFTER_YOU)
                return
            if not chosen.pending:
                self._await_slot(hand, chosen)
                return
            data, cursor = chosen.encoded(), chosen
        await self._fire(hand, data, cursor)

    async def _choice(self, entry: Entry, cursor: Cursor) -> Cursor | None:
        """Return what follows *cursor*: slots that are claimed, or passed over; None while none is due."""
        timing, now, after = entry.schedule.timing, self._now, entry.past(cursor)
        newest = due(timing, after, now, 1)
        if not newest:
            return None
        claimed = newest
        if timing.misfire == "skip" and now - newest[0] > _ON_TIME:
            claimed = []
        elif timing.misfire == "all" and timing.overlap == "allow":
            claimed = due(timing, after, now, timing.catch_up)
        if timing.overlap == "skip" and cursor.last is not None and await self._runs(cursor.last):
            claimed = []
        if not claimed:
            _log.info("schedule %s: its slot at %s is skipped", entry.schedule.name, as_moment(newest[0]))
            return Cursor(newest[0], last=cursor.last, by=self._id)
        return Cursor(cursor.slot, tuple(claimed), cursor.last, self._id)

    async def _fire(self, hand: _Hand, data: bytes, claim: Cursor) -> None:
        """Send the slots that are claimed, and pass them. data: the claim as it stands."""
        schedule = hand.entry.schedule
        if schedule.timing.overlap == "cancel_previous" and claim.last is not None:
            await self._results.cancel(claim.last)
        last = claim.last
        try:
            calls = [schedule.tick(slot, self._kept(schedule)) for slot in claim.pending]
            await self._dispatcher.send_many(calls)
            last = calls[-1].id
        except QueueFullError as exc:
            _log.warning("schedule %s waits: %s", schedule.name, exc)
            self._look_again(hand, _HELP)
            return
        except UniqueConflictError as exc:
            _log.info("schedule %s: %s", schedule.name, exc)
        except (SignatureError, PayloadTooLargeError, ConfigurationError) as exc:
            _log.error(
                "schedule %s: its slot at %s cannot be sent and is passed over: %s",
                schedule.name,
                as_moment(claim.pending[-1]),
                exc,
            )
        passed = Cursor(claim.pending[-1], last=last, by=self._id)
        if await self._put(hand, passed, expected=data):
            self._await_slot(hand, passed)
        else:
            self._look_again(hand, _AFTER_YOU)

    async def _put(self, hand: _Hand, cursor: Cursor, *, expected: bytes | None) -> bool:
        come = max((hand.entry.past(cursor), *cursor.pending))
        kept = expiry(next_slot(hand.entry.schedule.timing, come), self._now)
        return await self._store.put(hand.entry.key, cursor.encoded(), expected=expected, ttl=kept)

    async def _runs(self, id: str) -> bool:
        """Tell whether what was sent under *id*, a task or a workflow, has not ended."""
        backend = self._results.required()
        (record,) = await backend.get([id])
        if record is None and (whole := await backend.workflow(id)) is not None:
            (record,) = await backend.get([whole.result])
        return record is not None and not record.state.final

    def _is_left(self, hand: _Hand, data: bytes) -> bool:
        """Tell whether a claim of somebody else has stood for so long that it is to be finished for them."""
        passed = self._passed()
        if hand.seen is None or hand.seen[0] != data:
            hand.seen = (data, passed + _HELP)
        self._look_again(hand, _HELP / 4)
        return passed >= hand.seen[1]

    def _await_slot(self, hand: _Hand, cursor: Cursor) -> None:
        """Look at it again at its next slot; a moment later if somebody else has ticked last."""
        coming = next_slot(hand.entry.schedule.timing, hand.entry.past(cursor))
        late = 0.0 if cursor.by == self._id else _AFTER_YOU
        hand.at = float("inf") if coming is None else coming / SECOND + late

    def _look_again(self, hand: _Hand, seconds: float) -> None:
        hand.at = self._clock.time() + seconds

    def _kept(self, schedule: Schedule) -> float:
        """Return for how long its task's record is kept, unless the call says."""
        name = schedule.make().name
        own = self._router.registered(name).get("result_ttl") if self._router.find(name) else None
        return self._usual_ttl if own is None else cast(float, own)

    @property
    def _now(self) -> int:
        return micros(self._clock.time())

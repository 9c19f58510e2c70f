"""RedisConsumer: one process's hold on some queues.

A message is handed out in one script with its record's STARTED where broker and backend are one
namespace, and only under a live lease. What a reply that was lost has handed out is found by the
audit: after a failed call, and every few seconds, what the server says is held is compared with what
is known to be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Final, NoReturn

from redis.exceptions import RedisError, ResponseError

from aioqueue.adapters.redis.backend import RedisBackend
from aioqueue.adapters.redis.core import Access
from aioqueue.adapters.redis.doorbell import Doorbell
from aioqueue.adapters.redis.faults import is_groupless, translated
from aioqueue.adapters.redis.finisher import RedisFinisher, receipt_of
from aioqueue.adapters.redis.limits import Slots, ask_args
from aioqueue.adapters.redis.link import Value
from aioqueue.adapters.redis.pulse import RedisLease
from aioqueue.adapters.redis.rows import Receipt, delivery, message_args, milliseconds, moment
from aioqueue.clock import SystemClock
from aioqueue.ids import new_id
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.lease import Lease
from aioqueue.protocols.limits import Limits
from aioqueue.protocols.messages import SUSPECT, Delivery, Settlement
from aioqueue.turns import Group

_LANES: Final = ("again", *map(str, range(9, -1, -1)))
_BLOCK: Final = 5.0
_AUDIT: Final = 5.0
_LAPSED: Final = 0.5
_LEAVE: Final = 200
"""Scopes and places of a hundred slots: each may make one more message ready."""
_NONE: Final = "0"
_ALL: Final = "1"
_CLOCK: Final = SystemClock()


class RedisConsumer:
    """Takes messages for one owner."""

    def __init__(
        self, access: Access, groups: Sequence[Group], *, prefetch: int, lease: float, worker: str
    ) -> None:
        self.id: str = new_id()
        self.queues: tuple[str, ...] = tuple(queue for group in groups for queue in group.queues)
        self._groups = groups
        self._paused: frozenset[str] = frozenset()
        self._access = access
        self._prefetch = prefetch
        self._worker = worker
        self._begins = False
        self._limited: Collection[str] = ()
        self._loop = asyncio.get_running_loop()
        session = access.session
        self._lease = RedisLease(session.pulse, self.id, seconds=lease, unavailable=access.unavailable)
        self._bell = Doorbell(session.link, self.id, timeout=access.core.options.timeout)
        self._held: dict[Receipt, int] = {}
        self._slots = Slots()
        self._cut = asyncio.Event()
        # one alone was handed out last: very likely there is nothing else, and the bell tells as well
        self._quiet = False
        self._woken = self._audit = False
        self._look: str | None = None
        self._turn = 0
        self._audited = self._loop.time()

    async def receive(self, limit: int, *, timeout: float) -> list[Delivery]:
        until = self._loop.time() + timeout
        # who does not wait is told of all there is, also of what a bell that was hung up has been handed
        if timeout <= 0:
            self._look, self._quiet = _ALL, False
        while True:
            self._cut.clear()
            room = min(limit, self._prefetch - len(self._held))
            if room > 0 and not (self._quiet and self._look is None and not self._audit):
                deliveries, alive = await self._fetch(room)
            else:
                deliveries, alive = [], True
            self._quiet = len(deliveries) == 1 and room > 1
            left = until - self._loop.time()
            if deliveries or self._woken or left <= 0:
                self._woken = False
                return deliveries
            if room > 0 and alive and not self._cut.is_set():
                await self._block(min(left, _BLOCK))
                # to its end nothing has rung: who asks next looks anyway
                self._quiet = self._look is None and self._loop.time() >= until
            else:
                pause = min(left, _LAPSED) if not alive else left
                await _CLOCK.wait(self._cut, until=_CLOCK.time() + pause)

    def look(self) -> None:
        """Let a waiting ``receive`` look again."""
        self._cut.set()

    def wake(self) -> None:
        self._woken = True
        self._interrupt()

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[bool]:
        args: list[Value] = [self.id]
        for s in settlements:
            args += (receipt_of(s.delivery).place, int(s.dead is not None), s.dead or "", len(s.follow))
            args += message_args(s.follow)
        answers = await self._access.script("settle", *args)
        await self.left([receipt_of(s.delivery) for s in settlements])
        return [answer == 1 for answer in answers]

    async def release(self, deliveries: Sequence[Delivery], *, delay: float = 0.0) -> None:
        receipts = [receipt_of(delivery) for delivery in deliveries]
        await self._access.script(
            "release", self.id, milliseconds(delay), *(receipt.place for receipt in receipts)
        )
        await self.left(receipts)

    async def admit(self, asks: Sequence[tuple[Delivery, Limits]]) -> Sequence[bool]:
        args: list[Value] = [self.id, int(self._begins), self._worker]
        for each, asked in asks:
            args += ask_args(each, receipt_of(each).place, asked)
        answers = [answer == 1 for answer in await self._access.script("gate", *args)]
        refused: list[Receipt] = []
        for (each, asked), admitted in zip(asks, answers, strict=True):
            if not admitted:
                refused.append(receipt_of(each))
            elif asked.running is not None:
                self._slots.took(receipt_of(each), asked.scope)
        self.forget(refused)
        return answers

    def lease(self) -> Lease:
        return self._lease

    def finisher(self, backend: Backend, *, limited: Collection[str] = ()) -> RedisFinisher | None:
        if not isinstance(backend, RedisBackend) or backend.core is not self._access.core:
            return None
        self._begins, self._limited = True, limited
        return RedisFinisher(self._access, self)

    def holds(self, receipt: Receipt) -> bool:
        """Tell whether it was handed out, and not given back since."""
        return receipt in self._held

    async def left(self, receipts: Sequence[Receipt]) -> None:
        """Hold these no more, and wake who waits for their slots."""
        slots = self._slots.of(receipts)
        for first in range(0, len(slots), _LEAVE):
            await self._access.script("leave", self.id, *slots[first : first + _LEAVE])
        self._slots.left(receipts)
        self.forget(receipts)

    def forget(self, receipts: Sequence[Receipt]) -> None:
        """Hold these no more, which have no slot."""
        full = len(self._held) >= self._prefetch
        for receipt in receipts:
            self._held.pop(receipt, None)
        if full:
            self._interrupt()

    def _interrupt(self) -> None:
        self._cut.set()
        self._bell.cut()

    async def close(self) -> None:
        """Hang up."""
        await self._bell.close()

    async def _fetch(self, limit: int) -> tuple[list[Delivery], bool]:
        """Return what can be had at once, and whether the lease is alive."""
        audit = self._audit or self._loop.time() - self._audited > _AUDIT
        known = [receipt.place for receipt in self._held] if audit else []
        look, self._look = _ALL if audit else self._look or _NONE, None
        limited = frozenset(self._limited)
        try:
            reply = await self._access.once(
                "fetch", "\n".join((str(int(self._begins)), *limited)), self.id, self._worker, limit, look,
                len(known) if audit else -1, *known, *self._turns(),
            )  # fmt: skip
        except BaseException:
            # it may have been done, and what it handed out be held by nobody's knowledge
            self._audit = True
            raise
        if audit:
            self._audit, self._audited = False, self._loop.time()
        now, alive, found, paused, turns = reply
        self._paused = frozenset(queue.decode() for queue in paused)
        for group, turn in zip(self._groups, turns, strict=False):
            group.credit, group.passed, group.at = map(int, turn.split())
        deliveries = [delivery(row, at=moment(now), begun=self._begins) for row in found]
        if limited:
            deliveries = [replace(d, begun=False) if d.message.name in limited else d for d in deliveries]
        for each in deliveries:
            self._held[receipt_of(each)] = each.losses
        return deliveries, alive == 1

    def _turns(self) -> Iterator[str]:
        """Yield each group's turn and queues, each time beginning with another one, so that none starves."""
        self._turn += 1
        for group in self._groups:
            turn = self._turn % max(1, len(group.queues))
            yield f"{group.weight} {group.credit} {group.passed} {group.at} {len(group.queues)}"
            yield from group.queues[turn:]
            yield from group.queues[:turn]

    async def _block(self, seconds: float) -> None:
        """Wait until something may have come."""
        prefix = self._access.core.options.prefix
        lanes = _LANES if self._holds_suspect() else (*_LANES, "suspect")
        queues = [queue for queue in self.queues if queue not in self._paused]
        if not queues:
            await _CLOCK.wait(self._cut, until=_CLOCK.time() + seconds)
            return
        streams = [f"{prefix}q:{queue}:{lane}" for lane in lanes for queue in queues]
        try:
            rung = await self._bell.wait(streams, seconds=seconds)
            self._look = _ALL if rung == "" else rung and rung.removeprefix(f"{prefix}q:")
        except ResponseError as exc:
            if not is_groupless(exc):
                self._raise(exc)
            await self._access.script("groups", *self.queues)
        except (RedisError, OSError) as exc:
            self._look = _ALL
            self._raise(exc)

    def _raise(self, exc: Exception) -> NoReturn:
        with translated(self._access.unavailable, self._access.core.options.shown):
            raise exc

    def _holds_suspect(self) -> bool:
        return any(losses >= SUSPECT for losses in self._held.values())

"""RedisBackend: records, also for a broker that is another store.

There the commit record stays when its value is gone, so that a late copy of the message runs
nothing and what its commit released can be published again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from aioqueue.adapters.redis import flow, rows
from aioqueue.adapters.redis import log as logs
from aioqueue.adapters.redis.core import Access, Core
from aioqueue.adapters.redis.link import Value
from aioqueue.adapters.redis.pulse import RedisLease
from aioqueue.adapters.redis.rows import Found, milliseconds
from aioqueue.adapters.redis.submitter import reschedule
from aioqueue.advance import rest_of
from aioqueue.codec import decode_messages, encode_messages
from aioqueue.errors import BackendUnavailableError
from aioqueue.ids import is_name
from aioqueue.protocols.capabilities import Capabilities
from aioqueue.protocols.flow import Members, Opened, Opening, Page, Whole
from aioqueue.protocols.lease import Lease
from aioqueue.protocols.log import Log, Note, Standing
from aioqueue.protocols.messages import (
    COMMIT_TTL,
    Attempt,
    Cancelled,
    Committed,
    Delivery,
    Ending,
    Message,
    Record,
    Rescheduled,
    Start,
    Verdict,
    When,
)
from aioqueue.protocols.unique import Answer, Held

_BUDGET: Final = 1_048_576
"""Bytes of values after which a read stops, to be gone on with by the next call."""


class RedisBackend:
    """Records of one namespace, shared by all processes that name it."""

    capabilities: Capabilities = Capabilities("redis")

    def __init__(self, core: Core) -> None:
        self.core = core
        self._access = Access(core, BackendUnavailableError)

    async def open(self) -> None:
        await self.core.open("backend", BackendUnavailableError)

    async def close(self) -> None:
        await self.core.close("backend")

    async def put(self, records: Sequence[Record], *, follow: bool = False) -> Sequence[Answer]:
        unique = any(record.unique is not None for record in records)
        args: list[Value] = [] if unique else [int(follow)]
        for record in records:
            sent = "" if record.sent is None else repr(record.sent)
            due = "" if record.due is None else milliseconds(record.due)
            args += (record.id, record.name, record.queue, record.attempt, sent, due)
            if unique:
                args += ("", "") if record.unique is None else rows.claim_args(record.unique)
        if unique:
            return [
                Held(answer.decode()) if isinstance(answer, bytes) else answer == 1
                for answer in await self._access.script("put_unique", *args)
            ]
        return _bools(await self._access.script("put", *args))

    async def get(self, ids: Sequence[str]) -> list[Record | None]:
        records: list[Record | None] = []
        for found in await self._read(ids):
            if isinstance(found, Exception):
                raise found
            records.append(found)
        return records

    async def history(self, id: str) -> list[Attempt]:
        return (
            [rows.attempt(item) for item in await self._access.script("history", id)] if is_name(id) else []
        )

    async def wait(self, id: str, *, timeout: float) -> Record | None:
        if not is_name(id):
            # it cannot exist, and must not be said
            return None
        return await self._access.session.waiters(self._read).wait(id, timeout=timeout)

    async def claim(self, deliveries: Sequence[Delivery], *, owner: str, worker: str) -> Sequence[Start]:
        args: list[Value] = [owner, worker]
        for delivery in deliveries:
            m = delivery.message
            if m.tracked:
                args += (m.id, m.attempt, m.name, m.queue, repr(m.sent), delivery.losses)
        found = iter(await self._access.script("claim", *args))
        return [
            _start(next(found)) if delivery.message.tracked else Start(Verdict.RUN, losses=delivery.losses)
            for delivery in deliveries
        ]

    async def unclaim(self, deliveries: Sequence[Delivery], *, owner: str) -> None:
        ids = [delivery.message.id for delivery in deliveries if delivery.message.tracked]
        await self._access.script("unclaim", owner, *ids)

    async def commit(self, endings: Sequence[Ending], *, owner: str) -> Sequence[Committed | None]:
        args: list[Value] = [owner]
        for ending in endings:
            if ending.delivery.message.tracked:
                args += _commit_args(ending)
        found = iter(await self._access.script("commit", *args))
        return [
            _committed(next(found)) if ending.delivery.message.tracked else Committed() for ending in endings
        ]

    async def cancel(self, ids: Sequence[str], *, ttl: float, waiting: bool = False) -> Sequence[Cancelled]:
        return await flow.revoke(self._access, ids, ttl=ttl, waiting=waiting)

    async def reschedule(self, id: str, when: When) -> Rescheduled:
        return await reschedule(self._access, id, when, here=False)

    async def plan(self, page: Page) -> Sequence[str]:
        return await flow.plan(self._access, page)

    async def retract(self, workflow: str, keeper: str) -> None:
        await self._access.script("retract", workflow, keeper)

    async def open_workflow(self, opening: Opening) -> Opened:
        return await flow.opened(self._access, opening)

    async def workflow(self, id: str) -> Whole | None:
        return await flow.whole(self._access, id)

    async def fault(self, scope: str) -> bytes | None:
        found: list[bytes] = await self._access.script("fault", scope)
        return found[0] if found else None

    async def release_more(self, message: Message) -> Sequence[Message]:
        _, nodes = rest_of(message)
        rows = await self._access.script("more", message.id, nodes.first, nodes.count)
        return flow.messages(rows)

    async def members(self, join: str, first: int, count: int) -> Members | None:
        return flow.members(await self._access.script("members", join, first, count, _BUDGET))

    async def note(self, id: str, notes: Sequence[Note], *, first: int, attempt: int, owner: str) -> bool:
        return await logs.note(self._access, id, notes, first=first, attempt=attempt, owner=owner)

    async def log(self, id: str, *, after: int, seen: Standing | None, timeout: float) -> Log | None:
        # what is no name cannot exist, and must not be said
        return await logs.told(self._access, id, after, seen, timeout) if is_name(id) else None

    async def forget(self, ids: Sequence[str]) -> None:
        await self._access.script("forget", *filter(is_name, ids))

    async def bury(self, owner: str) -> None:
        await self._access.command("DEL", f"{self.core.options.prefix}l:{owner}")

    def lease(self, owner: str, *, seconds: float) -> Lease:
        """Return *owner*'s lease, which has begun; blocks for an answer of the server."""
        lease = RedisLease(
            self._access.session.pulse, owner, seconds=seconds, unavailable=BackendUnavailableError
        )
        lease.begin()
        return lease

    async def _read(self, ids: Sequence[str]) -> list[Found]:
        """Return the records in order, or why one cannot be read; several calls where they are large."""
        found: dict[str, Found] = {id: None for id in ids if not is_name(id)}
        while left := [id for id in dict.fromkeys(ids) if id not in found]:
            for id, row in zip(left, await self._access.script("get", _BUDGET, *left), strict=False):
                found[id] = rows.found(id, row)
        return [found[id] for id in ids]


def _commit_args(ending: Ending) -> tuple[Value, ...]:
    due = 0 if ending.next_at is None else milliseconds(ending.next_at)
    buried = ending.dead is not None
    meta = (
        f"{ending.delivery.message.attempt} {ending.state.value} {milliseconds(ending.ttl)} {due}"
        f" {ending.value is not None:d} {ending.error is not None:d} {buried:d}"
    )
    value, error = flow.came_to(ending)
    return (
        ending.delivery.message.id,
        meta,
        value,
        error,
        encode_messages(ending.follow),
        ending.dead or "",
        milliseconds(COMMIT_TTL),
    )


def _start(row: Sequence[Any]) -> Start:
    match row:
        case [b"RUN", losses]:
            return Start(Verdict.RUN, losses=int(losses))
        case [b"BUSY", left]:
            return Start(Verdict.BUSY, delay=min(max(int(left) / 1000, 0.1), 5.0))
        case _:
            _, released, buried, moved = row
            return Start(
                Verdict.COMMITTED,
                follow=(*(decode_messages(released[1:]) if released else ()), *flow.messages(moved)),
                dead=buried[1:].decode() if buried else None,
            )


def _committed(answer: int | Sequence[flow.Row]) -> Committed | None:
    if isinstance(answer, int):
        return Committed() if answer == 1 else None
    return Committed(tuple(flow.messages(answer)))


def _bools(answers: Sequence[int]) -> list[bool]:
    return [answer == 1 for answer in answers]

"""RedisFinisher: ends attempts where broker and backend are one namespace.

Record, dead letter, what follows and the end of the message are one script: a crash leaves all of it
or nothing, and then the message is held until the lease has lapsed, and run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, Protocol

from aioqueue.adapters.redis.core import Access
from aioqueue.adapters.redis.flow import came_to
from aioqueue.adapters.redis.link import Value
from aioqueue.adapters.redis.rows import Receipt, message_args, milliseconds
from aioqueue.protocols.flow import OPEN
from aioqueue.protocols.messages import Delivery, Ending, Start, Verdict

_RUN: Final = Start(Verdict.RUN)
_NONE: Final = Receipt("none/0-0/none", False)


class Holder(Protocol):
    """The consumer, as its finisher needs it."""

    @property
    def id(self) -> str: ...

    def holds(self, receipt: Receipt) -> bool:
        """Tell whether it was handed out, and not given back since."""
        ...

    async def left(self, receipts: Sequence[Receipt]) -> None:
        """Hold these no more, and wake who waits for their slots."""
        ...

    async def release(self, deliveries: Sequence[Delivery], *, delay: float = 0.0) -> None: ...


class RedisFinisher:
    """The one-step finisher of one consumer: what it was handed has begun already."""

    def __init__(self, access: Access, holder: Holder) -> None:
        self._access = access
        self._holder = holder

    async def begin(self, deliveries: Sequence[Delivery]) -> Sequence[Start]:
        return [_RUN if not each.losses else Start(Verdict.RUN, losses=each.losses) for each in deliveries]

    async def finish(self, endings: Sequence[Ending]) -> Sequence[bool]:
        args: list[Value] = [self._holder.id]
        receipts = [receipt_of(ending.delivery) for ending in endings]
        for ending, receipt in zip(endings, receipts, strict=True):
            args += _args(ending, receipt, held=self._holder.holds(receipt))
        found = await self._access.script("finish", *args)
        answers = [answer == 1 for answer in found]
        # what was refused may still be held; whoever gives it back is forgotten then
        await self._holder.left([receipt for receipt, ok in zip(receipts, answers, strict=True) if ok])
        return answers

    async def release(self, deliveries: Sequence[Delivery], *, delay: float = 0.0) -> None:
        await self._holder.release(deliveries, delay=delay)


def receipt_of(delivery: Delivery) -> Receipt:
    """Return the receipt of a delivery of ours; of another store's, one that nobody holds."""
    return delivery.receipt if isinstance(delivery.receipt, Receipt) else _NONE


def _args(ending: Ending, receipt: Receipt, *, held: bool) -> list[Value]:
    m = ending.delivery.message
    opens = m.name == OPEN
    meta = _meta(
        m.attempt, m.hop, ending.state, m.tracked, receipt.marked, held, ending.delivery.losses, ending.ttl,
        ending.next_at, ending.value is not None, ending.error is not None, ending.dead is not None, opens,
        len(ending.follow),
    )  # fmt: skip
    value, error = came_to(ending)
    args: list[Value] = [receipt.place, m.id, meta, m.body if opens else value, error, ending.dead or ""]
    return args + message_args(ending.follow) if ending.follow else args


@lru_cache(maxsize=256)
def _meta(*parts: Any) -> str:
    """Return the meta of an ending, most of which are alike."""
    attempt, hop, state, tracked, marked, held, losses, ttl, next_at, *flags, followers = parts
    due = 0 if next_at is None else milliseconds(next_at)
    return (
        f"{attempt} {hop} {state.value} {tracked:d} {marked:d} {held:d} {losses} {milliseconds(ttl)} {due}"
        f" {' '.join(f'{flag:d}' for flag in flags)} {followers}"
    )

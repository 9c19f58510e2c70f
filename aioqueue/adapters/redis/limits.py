"""Limits: what ``gate`` is asked, and which of what a consumer holds has a slot."""

from __future__ import annotations

from collections.abc import Sequence

from aioqueue.adapters.redis.link import Value
from aioqueue.adapters.redis.rows import Receipt
from aioqueue.protocols.limits import Limits
from aioqueue.protocols.messages import Delivery


class Slots:
    """The scope of each receipt that has a slot."""

    def __init__(self) -> None:
        self._scopes: dict[Receipt, str] = {}

    def took(self, receipt: Receipt, scope: str) -> None:
        """Remember who was admitted."""
        self._scopes[receipt] = scope

    def of(self, receipts: Sequence[Receipt]) -> list[Value]:
        """Return scope and place of those that have a slot."""
        slots: list[Value] = []
        for receipt in receipts if self._scopes else ():
            if receipt in self._scopes:
                slots += (self._scopes[receipt], receipt.place)
        return slots

    def left(self, receipts: Sequence[Receipt]) -> None:
        """Forget these."""
        for receipt in receipts if self._scopes else ():
            self._scopes.pop(receipt, None)


def ask_args(delivery: Delivery, place: str, limits: Limits) -> list[Value]:
    """Return what ``gate`` takes of one delivery."""
    m = delivery.message
    slots = "" if limits.running is None else limits.running
    args: list[Value] = [place, f"{m.id}/{m.attempt}/{m.hop}", limits.scope, slots, len(limits.rates)]
    for rate in limits.rates:
        args += (rate.name, f"{rate.pace * 1000:.6f}", rate.burst)
    return args

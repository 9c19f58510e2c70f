"""Turns: whose turn it is: which of several queues, and which priority in it. Pure.

The state is one consumer's and is never stored: each consumer keeps the shares by itself, so all of them
together do. Redis reckons the same in ``lua/lib/turns.lua``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from aioqueue.protocols.broker import Order

GUARD: Final = 12
"""Of so many slots in a row that could go to a higher priority, one goes to a lower one that waits."""


@dataclass(slots=True)
class Group:
    """Queues among which priorities hold. weight: its share; 0 where the order is strict, or it is alone.

    credit: slots it is behind its share, times the sum of weights. passed: slots in a row that went past a
    lower priority. at: the lowest priority whose turn comes next when one of the lower ones is served.
    """

    queues: tuple[str, ...]
    weight: int = 0
    credit: int = 0
    passed: int = 0
    at: int = 0

    def next(self, waiting: Sequence[int]) -> tuple[int, int]:
        """Return which of the priorities *waiting*, from the highest, is served, and for how many slots.

        So many at most; 0 stands for any number, as nothing else waits.
        """
        if len(waiting) == 1:
            return waiting[0], 0
        if self.passed < GUARD - 1:
            return waiting[0], GUARD - 1 - self.passed
        lower = waiting[1:]
        return min((lane for lane in lower if lane >= self.at), default=lower[-1]), 1

    def gave(self, waiting: Sequence[int], lane: int, slots: int) -> None:
        """Take in that *slots* went to *lane* while these priorities waited."""
        if len(waiting) == 1:
            self.passed = 0
        elif lane == waiting[0]:
            self.passed += slots
        elif slots:
            self.passed, self.at = 0, lane + 1


def groups_of(queues: Sequence[str], order: Order) -> list[Group]:
    """Return the queues, each once, in groups that take turns: all in one where the order is fair."""
    weights = dict(zip(queues, order.weights or (0,) * len(queues), strict=True))
    if order.strict or order.weights:
        return [Group((queue,), 0 if order.strict else weight) for queue, weight in weights.items()]
    return [Group(tuple(weights))]


def copied(groups: Sequence[Group]) -> list[Group]:
    """Return groups that may be changed without these being so."""
    return [replace(group) for group in groups]


def fill(groups: Sequence[Group], slots: int, take: Callable[[Group, int], int]) -> None:
    """Fill *slots*, each group its share, and what one has no work for the others.

    take: takes at most so many of a group and returns how many there were. One that comes short saves
    nothing up.
    """
    live = list(groups)
    while slots > 0 and live:
        left: list[Group] = []
        for group, share in zip(live, _deal(live, slots), strict=True):
            got = take(group, share) if share else 0
            slots -= got
            if got < share:
                group.credit = 0
            else:
                left.append(group)
        live = left


def _deal(live: Sequence[Group], slots: int) -> list[int]:
    """Return how many of *slots* each group has, in the smooth weighted order; without weights the first."""
    shares = [0] * len(live)
    total = sum(group.weight for group in live)
    if not total:
        shares[0] = slots
        return shares
    for _ in range(slots):
        for group in live:
            group.credit += group.weight
        best = max(range(len(live)), key=lambda n: live[n].credit)
        live[best].credit -= total
        shares[best] += 1
    return shares

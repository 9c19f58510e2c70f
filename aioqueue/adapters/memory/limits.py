"""Limiters: whose turn it is to start, and who has a slot, in memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from aioqueue.clock import Clock
from aioqueue.models.rate import next_turn
from aioqueue.protocols.limits import EARLY, LATE, PARKED, Limits

Key = tuple[str, int, int]
"""Id, attempt and hop of a message."""


@dataclass(slots=True)
class _Scope:
    """running: slots, as said last. marks: of its rates. parked: until when messages are put off.

    turns: of messages, each after who it was dealt among. freed: those of messages that are gone, by that.
    """

    running: int = 0
    marks: dict[str, float] = field(default_factory=dict[str, float])
    turns: dict[Key, tuple[str, float]] = field(default_factory=dict[Key, tuple[str, float]])
    freed: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    slots: set[int] = field(default_factory=set[int])
    parked: dict[Key, float] = field(default_factory=dict[Key, float])

    def idle(self, now: float) -> bool:
        """Tell whether nothing is to be remembered."""
        paced = any(mark > now for mark in self.marks.values())
        return not (self.slots or self.parked or self.turns or paced)


class Limiters:
    """All scopes of one store. ready: makes ready what is put off until a moment, if it still is."""

    def __init__(self, clock: Clock, ready: Callable[[Key, float], bool]) -> None:
        self._clock = clock
        self._ready = ready
        self._scopes: dict[str, _Scope] = {}
        self._waits: dict[Key, _Scope] = {}

    def ask(self, key: Key, receipt: int, limits: Limits) -> float | None:
        """Return None where a message may start, else until when it is to be put off. It may ask again."""
        now = self._clock.time()
        scope = self._scopes.setdefault(limits.scope, _Scope())
        if receipt in scope.slots:
            return None
        self._waits.pop(key, None)
        paced, turn = scope.turns.pop(key, ("", 0.0))
        if limits.running is not None:
            scope.running = limits.running
            if len(scope.slots) >= limits.running:
                scope.parked.pop(key, None)
                scope.parked[key] = now + PARKED
                self._waits[key] = scope
                return now + PARKED
        if paced != limits.paced or now - turn > LATE:
            turn = _next(scope, limits, now)
        if turn - now > EARLY:
            scope.turns[key] = (limits.paced, turn)
            self._waits[key] = scope
            return min(turn, now + PARKED)
        if limits.running is not None:
            scope.slots.add(receipt)
        return None

    def gone(self, key: Key) -> None:
        """Hear that there is no such message any more; who asks next has its turn."""
        scope = self._waits.pop(key, None)
        if scope is not None:
            scope.parked.pop(key, None)
            paced, turn = scope.turns.pop(key, ("", 0.0))
            if paced:
                heapq.heappush(scope.freed.setdefault(paced, []), turn)

    def left(self, scope: str, receipt: int) -> None:
        """Hear that a message is held no more which had a slot."""
        found = self._scopes[scope]
        found.slots.discard(receipt)
        self._wake(found, 1)

    def sweep(self) -> None:
        """Wake whoever could start: who was woken before may have been cancelled. Forget what is over."""
        now = self._clock.time()
        for name, scope in list(self._scopes.items()):
            self._wake(scope, scope.running)
            scope.turns = {key: turn for key, turn in scope.turns.items() if now - turn[1] <= LATE}
            if scope.idle(now):
                del self._scopes[name]

    def _wake(self, scope: _Scope, most: int) -> None:
        free = min(most, scope.running - len(scope.slots))
        while free > 0 and scope.parked:
            key = next(iter(scope.parked))
            free -= self._ready(key, scope.parked.pop(key))


def _next(scope: _Scope, limits: Limits, now: float) -> float:
    freed = scope.freed.get(limits.paced, [])
    while freed:
        turn = heapq.heappop(freed)
        if now - turn <= LATE:
            return turn
    return next_turn(limits.rates, scope.marks, now)

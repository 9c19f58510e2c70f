"""Faults: every store call a process makes, counted, and which of them go wrong.

Run once without a plan to list the calls; run again with ``crash_at=call`` for each of them. A
process that has crashed makes no call any more: whatever it tries then crashes too.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from aioqueue.errors import UnavailableError

Moment = Literal["before", "after"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A moment in a store call. index: the how-manieth call of all, from 1."""

    index: int
    name: str
    moment: Moment


Point = Call | tuple[str, Moment, int]
"""A call of a run before this one; or the name of a call, a moment, the how-manieth of that name from 1."""


class Crash(BaseException):
    """The process died here; nothing may catch it but the test."""


@dataclass
class Faults:
    """What goes wrong, shared by all that wraps one process's stores.

    fail: how many of the first calls of a name fail before they have done anything. lose: the
    same, but they have done their work and only the answer is lost. fail_at: points where a call
    fails. crash_at: the point where the process dies; died: is called then. calls: the log.
    commits: how often each task was ended for good, or as what goes on in its place, by whoever
    shares the counter.
    """

    fail: Mapping[str, int] = field(default_factory=dict)
    lose: Mapping[str, int] = field(default_factory=dict)
    fail_at: tuple[Point, ...] = ()
    crash_at: Point | None = None
    calls: list[Call] = field(default_factory=list)
    commits: Counter[str] = field(default_factory=Counter[str])
    crashed: bool = False
    died: Callable[[], object] = lambda: None

    def __post_init__(self) -> None:
        # Leases are beaten from a thread.
        self._lock = threading.Lock()
        self._index = 0
        self._counts: Counter[str] = Counter()

    def crash(self) -> None:
        """Let the process die now: whatever it calls or waits for from here on crashes."""
        self.crashed = True

    def names(self) -> list[str]:
        """Return the names of the calls that were made, in order."""
        return [call.name for call in self.calls if call.moment == "before"]

    async def around(self, name: str, error: type[UnavailableError], work: Callable[[], Awaitable[T]]) -> T:
        """Make a call, or let it go wrong."""
        index, nth = self._enter(name)
        self._reach(Call(index, name, "before"), nth, error)
        result = await work()
        self._reach(Call(index, name, "after"), nth, error)
        return result

    def around_now(self, name: str, error: type[UnavailableError], work: Callable[[], T]) -> T:
        """Make a call that is not awaited, or let it go wrong; may come from a thread."""
        index, nth = self._enter(name)
        self._reach(Call(index, name, "before"), nth, error)
        result = work()
        self._reach(Call(index, name, "after"), nth, error)
        return result

    def _enter(self, name: str) -> tuple[int, int]:
        with self._lock:
            if self.crashed:
                raise Crash(f"{name} after the crash")
            self._index += 1
            self._counts[name] += 1
            return self._index, self._counts[name]

    def _reach(self, call: Call, nth: int, error: type[UnavailableError]) -> None:
        with self._lock:
            if self.crashed:
                raise Crash(f"{call.name} after the crash")
            self.calls.append(call)
            if _is(self.crash_at, call, nth):
                self.crashed = True
                self.died()
                raise Crash(f"{call.moment} {call.name}")
        first = self.fail if call.moment == "before" else self.lose
        if nth <= first.get(call.name, 0) or any(_is(point, call, nth) for point in self.fail_at):
            raise error(f"fault {call.moment} {call.name}")


def _is(point: Point | None, call: Call, nth: int) -> bool:
    return point in {call, (call.name, call.moment, nth)}

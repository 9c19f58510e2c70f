"""Keys: which task has claimed which unique key last. Whether it has it still, its record tells."""

from __future__ import annotations

from dataclasses import dataclass, replace

from aioqueue.clock import Clock
from aioqueue.models.state import State
from aioqueue.protocols.messages import Record
from aioqueue.protocols.unique import Unique


@dataclass(frozen=True, slots=True)
class Hold:
    """A claim of the task *id*. until: Unix seconds after which it is none, whatever the task does.

    latest: Unix seconds at which the task is due at the latest, however often it is put off.
    """

    id: str
    until_done: bool
    until: float
    latest: float

    def lasts(self, record: Record) -> bool:
        """Tell whether the task of that record has the key."""
        waits = record.state is State.PENDING and record.attempt == 1
        return not record.state.final if self.until_done else waits


class Keys:
    """The keys of one store. One whose task has ended is dropped with that."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._holds: dict[str, Hold] = {}

    def take(self, unique: Unique, id: str, due: float) -> str:
        """Let *id*, which is due then, have a key, whoever has had it; return the key."""
        latest = max(due, self._clock.time() + (unique.collapse or 0.0))
        self._holds[unique.key] = Hold(id, unique.until_done, due + unique.ttl, latest)
        return unique.key

    def put_off(self, unique: Unique, due: float) -> float:
        """Let who has a key be due at another moment, as far as it may be put off; return the moment."""
        hold = self._holds[unique.key]
        due = min(due, hold.latest)
        self._holds[unique.key] = replace(hold, until=due + unique.ttl)
        return due

    def hold(self, key: str) -> Hold | None:
        """Return the last claim of a key, if it is one still."""
        hold = self._holds.get(key)
        return hold if hold is not None and hold.until > self._clock.time() else None

    def free(self, key: str | None, id: str) -> None:
        """Drop the claim of a task that has ended, unless another has claimed its key since."""
        hold = None if key is None else self._holds.get(key)
        if key is not None and hold is not None and hold.id == id:
            del self._holds[key]

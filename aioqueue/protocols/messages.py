"""What passes between rooms: messages, deliveries, endings. Never pydantic: a queue makes millions.

The task's id, name and attempt travel outside the body, so that a body that cannot be read still
ends as a dead letter with a name, and its waiter is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from aioqueue.models.state import CancelOutcome, RescheduleOutcome, State
from aioqueue.values import lean

if TYPE_CHECKING:
    from aioqueue.protocols.flow import Opening
    from aioqueue.protocols.unique import Unique


@dataclass(frozen=True, slots=True)
class When:
    """The later of a moment, Unix seconds by the store's clock, and seconds after a store hears of it."""

    eta: float | None = None
    delay: float = 0.0

    def due(self, now: float) -> float:
        """Return the moment, if a store hears of it at *now*."""
        return now + self.delay if self.eta is None else max(self.eta, now + self.delay)


@lean
class Message:
    """One attempt of a task on its way to a worker; (id, attempt, hop) names it.

    attempt: from 1. hop: leg of a delay that a service cannot hold in one. priority: 9 first.
    eta: Unix seconds, by the store's clock; delay: seconds from the moment it is accepted.
    tracked: it has a record. sent: Unix seconds of its sending. unique: the key it claims when it is sent.
    """

    id: str
    name: str
    queue: str
    body: bytes
    attempt: int = 1
    hop: int = 0
    priority: int = 0
    eta: float | None = None
    delay: float = 0.0
    tracked: bool = True
    sent: float = 0.0
    unique: Unique | None = None

    def due(self, now: float) -> float:
        """Return the moment from which it may run, if it is accepted at *now*."""
        return now + self.delay if self.eta is None else max(self.eta, now + self.delay)


@lean
class Delivery:
    """A message lent to one consumer until it settles or releases it.

    message: as it was sent, but for eta, delay and unique, which may be gone with what they asked for.
    receipt: the adapter's own handle. at: Unix seconds by the store's clock when it was handed
    out. first_seen: when it was first released with a delay, or None. losses: workers that died
    holding it. begun: its start is on record already.
    """

    message: Message
    receipt: object
    at: float
    first_seen: float | None = None
    losses: int = 0
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of a delivery: forget it and, in the same step, publish what follows.

    dead: the reason it goes to the dead letters, or None.
    """

    delivery: Delivery
    follow: tuple[Message, ...] = ()
    dead: str | None = None


@lean
class Ending:
    """What an attempt came to, ready to be committed.

    state: a final one; or RETRY, whose next attempt is then among *follow*; or STARTED, as the task goes on
    as a workflow, which is kept already and is started by *opening* in the same step. value, error: encoded
    by the codec. ttl: seconds the record is shown after it ended. next_at: Unix seconds of the
    next attempt of a RETRY.
    """

    delivery: Delivery
    state: State
    value: bytes | None = None
    error: bytes | None = None
    ttl: float = 3600.0
    follow: tuple[Message, ...] = ()
    dead: str | None = None
    next_at: float | None = None
    opening: Opening | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """The answer to a commit that was taken. released: what its workflow released by it."""

    released: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The answer to a cancel. released: what a workflow released by it, to be published in another store."""

    outcome: CancelOutcome
    released: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Rescheduled:
    """The answer to a reschedule. queue, attempt: where its message waits, of that attempt or the next."""

    outcome: RescheduleOutcome
    queue: str = ""
    attempt: int = 1


class Verdict(Enum):
    """What may be done with a delivery."""

    RUN = "run"
    COMMITTED = "committed"
    BUSY = "busy"


@lean
class Start:
    """The answer to *begin* or *claim* for one delivery.

    COMMITTED: its attempt has ended before; *follow* is what that released and may not have been
    published, and *dead* the reason it was to be buried for. BUSY: another live worker runs it;
    ask again after *delay* seconds. losses: workers that died holding the task, this loss included.
    """

    verdict: Verdict
    losses: int = 0
    delay: float = 0.0
    follow: tuple[Message, ...] = ()
    dead: str | None = None


@lean
class Record:
    """A task's record as a store keeps it. Moments are Unix seconds by the store's clock.

    due: when the waiting attempt may start. value, error: encoded by the codec. plan: the workflow that
    runs in its place. joined: the join whose values are its value. unique: the key that a new one claims.
    """

    id: str
    name: str
    queue: str
    state: State = State.PENDING
    attempt: int = 1
    losses: int = 0
    sent: float | None = None
    started: float | None = None
    finished: float | None = None
    due: float | None = None
    worker: str | None = None
    value: bytes | None = None
    error: bytes | None = None
    plan: str | None = None
    joined: str | None = None
    unique: Unique | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that has ended and was not the last. Moments are Unix seconds by the store's clock.

    error: encoded by the codec; None where its worker died. next_at: when the next one was due.
    """

    number: int
    error: bytes | None
    worker: str | None
    started: float | None
    ended: float
    next_at: float | None = None


HISTORY = 20
"""Attempts of a task that are remembered: the last ones."""

SUSPECT = 2
"""Losses from which a task is a suspect: a consumer is handed no second one while it holds one."""

OPEN_TTL = 30 * 86_400.0
"""Seconds an open record is kept past the moment it is due."""

COMMIT_TTL = 86_400.0
"""Seconds a commit record is kept where broker and backend are different stores."""

"""SqliteLease: a row with the moment until which its owner is believed to live.

Leases have a connection of their own and wait a short time only: they are beaten from threads,
whatever the loop or the adapter's own thread do. A lease is alive before its moment, unless that lies two
leases ahead: then it was written before the clock was set back.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from aioqueue.adapters.sqlite.connection import Connection
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.faults import translated
from aioqueue.adapters.sqlite.options import Options
from aioqueue.adapters.sqlite.rows import LISTED, listed
from aioqueue.clock import Clock, passing
from aioqueue.errors import UnavailableError

_PATIENCE: Final = 2.0

T = TypeVar("T")

ALIVE: Final = "(until > :now AND until <= :now + 2 * seconds)"
"""SQL that tells whether a row of ``leases`` is alive."""

_WRITE: Final = """INSERT INTO leases (owner, until, seconds) VALUES (?, ?, ?)
  ON CONFLICT (owner) DO UPDATE SET until = excluded.until, seconds = excluded.seconds"""
_DROP: Final = "DELETE FROM leases WHERE owner = ?"


def begin(tx: Transaction, owner: str, seconds: float) -> None:
    """Write *owner*'s lease."""
    tx.db.execute(_WRITE, (owner, tx.now + seconds, seconds))


def drop(tx: Transaction, owner: str) -> None:
    """End *owner*'s lease."""
    tx.db.execute(_DROP, (owner,))


def left(tx: Transaction, owners: set[str]) -> dict[str, float]:
    """Return the seconds each lease of *owners* still has, of those that are alive."""
    found = tx.db.execute(
        f"SELECT owner, until - :now FROM leases WHERE owner IN {LISTED.replace('?', ':owners')} AND {ALIVE}",
        {"now": tx.now, "owners": listed(owners)},
    )
    return dict(found.fetchall())


class Pulse:
    """The connection on which all leases of one adapter are beaten, from any thread, one at a time.

    url: of the file, for messages. Waits 2 s for a locked file, then raises sqlite3.OperationalError.
    """

    def __init__(self, options: Options, clock: Clock) -> None:
        self.url: str = options.url
        self.clock = clock
        self._connection = Connection(replace(options, timeout=min(options.timeout, _PATIENCE)))
        self._lock = threading.Lock()

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what *work* returns, committed."""
        with self._lock:
            return self._connection.transact(work, write=True)

    def close(self) -> None:
        """Close; a beat that comes late opens again."""
        with self._lock:
            self._connection.close()


class SqliteLease:
    """Raises *unavailable* when the file is locked for 2 s, or not to be had.

    kept_until: when it lapses unless it is beaten, by ``passing``. Beaten before that it is alive,
    also where the clock was set forward in between.
    """

    def __init__(
        self,
        pulse: Pulse,
        owner: str,
        *,
        seconds: float,
        unavailable: type[UnavailableError],
        kept_until: float | None = None,
    ) -> None:
        self._pulse = pulse
        self._owner = owner
        self._seconds = seconds
        self._unavailable = unavailable
        self._passed = passing(pulse.clock)
        self._kept_until = self._passed() if kept_until is None else kept_until

    def begin(self) -> None:
        """Write the row."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(_WRITE, (self._owner, self._pulse.clock.time() + self._seconds, self._seconds))

        until = self._passed() + self._seconds
        self._write(work)
        self._kept_until = until

    def beat(self) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            now = self._pulse.clock.time()
            in_time = self._passed() < self._kept_until
            beaten = db.execute(
                "UPDATE leases SET until = ? WHERE owner = ? AND (until > ? OR ?)",
                (now + self._seconds, self._owner, now, in_time),
            )
            return beaten.rowcount == 1

        until = self._passed() + self._seconds
        alive = self._write(work)
        self._kept_until = until if alive else self._kept_until
        return alive

    def drop(self) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute(_DROP, (self._owner,))

        self._write(work)

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with translated(self._unavailable, self._pulse.url):
            return self._pulse.write(work)

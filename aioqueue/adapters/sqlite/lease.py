"""SqliteLease: a row with the moment until which its owner is believed to live.

It has a connection of its own and waits a short time only: it is beaten from a thread, whatever
the loop or the adapter's own thread do. A lease is alive before its moment, unless that lies two
leases ahead: then it was written before the clock was set back.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from aioqueue.adapters.sqlite.connection import Connection
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.faults import translated
from aioqueue.adapters.sqlite.options import Options
from aioqueue.adapters.sqlite.rows import LISTED, listed
from aioqueue.clock import Clock, SystemClock
from aioqueue.errors import UnavailableError

_PATIENCE: Final = 2.0

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


def passing(clock: Clock) -> Callable[[], float]:
    """Return what measures the time that passes, though somebody may set *clock*.

    A clock that is not the machine's has only its own time to be measured by.
    """
    return time.monotonic if isinstance(clock, SystemClock) else clock.time


class SqliteLease:
    """Raises *unavailable* when the file is locked for 2 s, or not to be had.

    Beaten in time it is alive, also where the clock was set forward in between.
    """

    def __init__(
        self,
        options: Options,
        clock: Clock,
        owner: str,
        *,
        seconds: float,
        unavailable: type[UnavailableError],
    ) -> None:
        self._connection = Connection(replace(options, timeout=min(options.timeout, _PATIENCE)))
        self._lock = threading.Lock()
        self._url = options.url
        self._clock = clock
        self._owner = owner
        self._seconds = seconds
        self._unavailable = unavailable
        self._passed = passing(clock)
        self._kept_until = self._passed()

    def begin(self) -> None:
        """Write the row."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(_WRITE, (self._owner, self._clock.time() + self._seconds, self._seconds))

        with self._lock, translated(self._unavailable, self._url):
            until = self._passed() + self._seconds
            self._connection.transact(work, write=True)
            self._kept_until = until

    def beat(self) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            now = self._clock.time()
            in_time = self._passed() < self._kept_until
            beaten = db.execute(
                "UPDATE leases SET until = ? WHERE owner = ? AND (until > ? OR ?)",
                (now + self._seconds, self._owner, now, in_time),
            )
            return beaten.rowcount == 1

        with self._lock, translated(self._unavailable, self._url):
            until = self._passed() + self._seconds
            alive = self._connection.transact(work, write=True)
            self._kept_until = until if alive else self._kept_until
            return alive

    def drop(self) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute(_DROP, (self._owner,))

        with self._lock, translated(self._unavailable, self._url):
            self._connection.transact(work, write=True)
            self._connection.close()

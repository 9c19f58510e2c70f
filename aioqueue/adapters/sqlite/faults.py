"""Faults: the one place where the errors of sqlite3 become those of aioqueue.

What the database says no to (locked, full, read-only, an I/O error) may be tried again; what
the program did wrong (bad SQL, a broken constraint) stays the error it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager

from aioqueue.errors import UnavailableError

_WRONG = (
    sqlite3.ProgrammingError,
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.NotSupportedError,
)


class NotOpenError(sqlite3.OperationalError):
    """The adapter is closed, or was opened in another process than this one."""

    def __init__(self) -> None:
        super().__init__("the adapter is not open in this process")


def code_of(exc: sqlite3.Error) -> int | None:
    """Return SQLite's primary result code; None for an error that SQLite did not raise."""
    code: int | None = getattr(exc, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def is_fault(exc: sqlite3.DatabaseError) -> bool:
    """Tell whether the database is at fault, and not the program."""
    return not isinstance(exc, _WRONG) and code_of(exc) != sqlite3.SQLITE_ERROR


@contextmanager
def translated(unavailable: type[UnavailableError], url: str) -> Generator[None, None, None]:
    """Raise *unavailable* for a fault of the database at *url*."""
    try:
        yield
    except sqlite3.DatabaseError as exc:
        if not is_fault(exc):
            raise
        raise unavailable(f"{url}: {exc}") from exc

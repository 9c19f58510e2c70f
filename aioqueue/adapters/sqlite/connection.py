"""Connection: one connection to the file, and one transaction at a time on it.

Journal. WAL only from SQLite 3.51.3 on: before, several connections can corrupt a WAL file. Older
ones get a rollback journal, at 0.8 ms a transaction of 20 rows where WAL takes 0.2 (PERSIST, whose
header is overwritten in place; TRUNCATE takes 0.85, DELETE 0.95): group commit makes up for it. It
syncs every commit, also with synchronous=normal, where WAL may lose the last ones in a power cut.

No connection lives through a fork: whoever forks waits for the transaction that is on its way
and closes, for a child that inherits SQLite's idea of its locks would believe to hold them.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from importlib.resources import files
from typing import Final, TypeVar
from weakref import WeakSet

from aioqueue.adapters.sqlite.faults import code_of, is_fault
from aioqueue.adapters.sqlite.gate import Gate
from aioqueue.adapters.sqlite.options import Options
from aioqueue.errors import ConfigurationError

VERSION: Final = 2
OLDEST: Final = (3, 35, 0)
WAL_IS_SAFE: Final = (3, 51, 3)
JOURNAL: Final = (
    f"SQLite {sqlite3.sqlite_version}, write-ahead log"
    if sqlite3.sqlite_version_info >= WAL_IS_SAFE
    else f"SQLite {sqlite3.sqlite_version}, rollback journal"
    " (a write-ahead log, which is faster, is safe from 3.51.3 on)"
)
"""What a person should know of how the file is written."""
_JOURNAL_BYTES: Final = 8 * 1024 * 1024

T = TypeVar("T")

_all: WeakSet[Connection] = WeakSet()
_stilled: list[Connection] = []
_forking = threading.Lock()


class Connection:
    """Opened by its first transaction, and again after a fault. Any thread may use it, one at a time."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.gate: Gate = Gate(f"{options.path}-lock")
        self._db: sqlite3.Connection | None = None
        self._identity = (0, 0)
        self._wal = False
        self.still: threading.Lock = threading.Lock()
        with _forking:
            _all.add(self)

    def __del__(self) -> None:
        # The lease of a thread that has just ended is dropped by nobody.
        self.shut()
        self.gate.close()

    def transact(self, work: Callable[[sqlite3.Connection], T], *, write: bool) -> T:
        """Return what *work* returns, committed; roll back and raise what it raises.

        Waits ``timeout`` s for other processes, then raises sqlite3.OperationalError.
        """
        if self._wal and not write:
            return self._transact(work, "BEGIN")
        with self.gate.passed(self._options.timeout):
            return self._transact(work, "BEGIN IMMEDIATE" if write else "BEGIN")

    def close(self) -> None:
        """Close; the next transaction opens again."""
        with self.still:
            self.shut()
        self.gate.close()

    def _transact(self, work: Callable[[sqlite3.Connection], T], begin: str) -> T:
        with self.still:
            try:
                if self._db is not None and self._is_gone():
                    self.shut()
                db = self._db = self._db or self._open()
                db.execute(begin)
                result = work(db)
                db.execute("COMMIT")
            except BaseException as exc:
                self._undo(exc)
                raise
            return result

    def _undo(self, exc: BaseException) -> None:
        """Roll back; a connection that met a fault other than a lock is not used again."""
        broken = (
            isinstance(exc, sqlite3.DatabaseError) and is_fault(exc) and code_of(exc) != sqlite3.SQLITE_BUSY
        )
        try:
            if self._db is not None and self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error:
            broken = True
        if broken:
            self.shut()

    def shut(self) -> None:
        """Close what is open; for one who holds *still*."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _is_gone(self) -> bool:
        """Tell whether the file was removed or replaced; SQLite would go on with what has no name."""
        try:
            found = os.stat(self._options.path)
        except OSError:
            return True
        return (found.st_dev, found.st_ino) != self._identity

    def _open(self) -> sqlite3.Connection:
        options = self._options
        if sqlite3.sqlite_version_info < OLDEST:
            raise ConfigurationError(
                f"SQLite {sqlite3.sqlite_version} is too old; aioqueue needs 3.35 or newer"
            )
        if not options.path.parent.is_dir():
            raise ConfigurationError(
                f"{options.url}: there is no folder {options.path.parent}; make it first"
            )
        if options.path.is_dir():
            raise ConfigurationError(f"{options.url}: {options.path} is a folder; name a file")
        db = sqlite3.connect(
            options.path,
            timeout=options.timeout,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            self._set_up(db)
        except BaseException as exc:
            db.close()
            if isinstance(exc, sqlite3.DatabaseError) and code_of(exc) == sqlite3.SQLITE_NOTADB:
                raise ConfigurationError(f"{options.url}: {options.path} is no SQLite database") from exc
            raise
        found = os.stat(options.path)
        self._identity = (found.st_dev, found.st_ino)
        return db

    def _set_up(self, db: sqlite3.Connection) -> None:
        options = self._options
        version, tables = db.execute(
            "SELECT (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)"
        ).fetchone()
        if version > VERSION:
            raise ConfigurationError(
                f"{options.url} was written by a newer aioqueue:"
                f" its version is {version}, this one knows {VERSION}; update this process"
            )
        if 0 < version < VERSION:
            raise ConfigurationError(
                f"{options.url} was written by an older aioqueue: its version is {version}, this one needs"
                f" {VERSION}; let that one empty the queues, or name another file"
            )
        if version == 0 and tables:
            raise ConfigurationError(f"{options.url} is another program's database; name a file of its own")
        self._wal = _journal(db, options)
        db.execute(f"PRAGMA synchronous = {options.synchronous}")
        db.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")
        db.execute("PRAGMA cache_size = -16384")
        if version == 0:
            schema = files("aioqueue.adapters.sqlite").joinpath("schema.sql").read_text("utf-8")
            db.executescript(f"BEGIN IMMEDIATE; {schema} PRAGMA user_version = {VERSION}; COMMIT;")


def _journal(db: sqlite3.Connection, options: Options) -> bool:
    """Choose the journal; True for WAL."""
    wal = _mode(db, "") == "wal"
    if sqlite3.sqlite_version_info >= WAL_IS_SAFE:
        # Refused while a process with an older SQLite is connected: then a rollback journal has to do.
        if wal or _mode(db, "= WAL") == "wal":
            return True
    elif wal and _mode(db, "= PERSIST") == "wal":
        raise ConfigurationError(
            f"{options.url} is open in WAL mode by a newer SQLite than {sqlite3.sqlite_version}, which"
            " could corrupt it; stop that process or run both with the same Python"
        )
    _mode(db, "= PERSIST")
    return False


def _mode(db: sqlite3.Connection, choice: str) -> str:
    """Set the journal mode if it can be had; return the one in force."""
    try:
        mode: str = db.execute(f"PRAGMA journal_mode {choice}").fetchone()[0]
    except sqlite3.OperationalError as exc:
        if code_of(exc) != sqlite3.SQLITE_BUSY:
            raise
        mode = db.execute("PRAGMA journal_mode").fetchone()[0]
    return mode


def _before_fork() -> None:
    _forking.acquire()
    _stilled.extend(_all)
    for connection in _stilled:
        connection.still.acquire()
        connection.shut()


def _after_fork() -> None:
    while _stilled:
        _stilled.pop().still.release()
    _forking.release()


def _after_fork_in_child() -> None:
    for connection in _stilled:
        connection.gate.close()
    _after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)

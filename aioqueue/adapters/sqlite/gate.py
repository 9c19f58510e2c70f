"""Gate: a lock file before SQLite's own locks, so that processes take turns.

SQLite's busy handler sleeps up to 100 ms and knows no turns: of four processes that write
without pause some got one transaction in 3 s; through the gate none waited longer than 30 ms,
for a tenth of the throughput. It only orders them: what is right is still SQLite's lock, so a
gate that cannot be had (another user's file, a file system without flock) is left out. The
kernel opens it when its holder dies.
"""

from __future__ import annotations

import errno
import os
import random
import sqlite3
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

if sys.platform != "win32":
    import fcntl

_STEP: Final = 0.0003
_LONGEST_STEP: Final = 0.005
_COMPANY: Final = 0.1


class Gate:
    """One holder's way to the lock; not to be shared between threads."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: int | None = None
        self._waited_at = self._left_at = -1e9

    @contextmanager
    def passed(self, timeout: float) -> Generator[None, None, None]:
        """Hold the gate. Raises sqlite3.OperationalError after *timeout* s."""
        file = self._opened()
        if file is None or not self._take(file, timeout):
            yield
            return
        try:
            yield
        finally:
            self._leave(file)

    def close(self) -> None:
        """Give up the file; in a forked child this leaves the parent's hold alone."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _opened(self) -> int | None:
        if self._file is None and sys.platform != "win32":
            try:
                self._file = os.open(self._path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except OSError:
                return None
        return self._file

    def _take(self, file: int, timeout: float) -> bool:
        """Wait for the lock; False where there can be none."""
        if sys.platform == "win32":
            return False
        start = now = time.monotonic()
        # Who had to wait a moment ago is not alone: it lets the others in before it comes again.
        if now - self._waited_at < _COMPANY and now - self._left_at < _STEP * 1.5:
            time.sleep(_STEP * 1.5)
        step = _STEP
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as exc:
                if exc.errno not in {errno.EAGAIN, errno.EACCES, errno.EINTR}:
                    return False
            else:
                return True
            self._waited_at = now = time.monotonic()
            if now - start > timeout:
                raise sqlite3.OperationalError(f"database is locked by another process for {timeout:g} s")
            if now - start > _COMPANY:
                step = min(step * 1.2, _LONGEST_STEP)
            time.sleep(step * random.uniform(0.5, 1.5))

    def _leave(self, file: int) -> None:
        if sys.platform != "win32":
            fcntl.flock(file, fcntl.LOCK_UN)
        self._left_at = time.monotonic()

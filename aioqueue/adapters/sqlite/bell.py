"""Bells: how processes that share a file wake each other, by unix datagrams.

Every process that listens binds a socket in a folder of this user and file; who has committed
sends its news to each. A bell may be missed (its buffer full, another user, no unix sockets):
whoever listens also looks by itself, slowly.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import socket
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aioqueue.adapters.sqlite.news import LONGEST_DATAGRAM, News

_AT_ONCE: Final = 64
# The kernel's smallest default for net.unix.max_dgram_qlen: so many unread may have hidden more.
_BUFFERED: Final = 10


class Bells:
    """One process's own bell, and its way to those of the others."""

    def __init__(self, path: Path) -> None:
        self._folder: Path | None = None
        if sys.platform != "win32":
            digest = hashlib.sha1(os.fsencode(os.path.realpath(path)), usedforsecurity=False).hexdigest()
            # Where there is no folder for temporary files there are no bells.
            with contextlib.suppress(OSError):
                self._folder = Path(tempfile.gettempdir(), f"aioqueue-{os.getuid()}-{digest[:16]}")
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._own: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._others: dict[str, socket.socket] = {}

    def listen(self, loop: asyncio.AbstractEventLoop, tell: Callable[[News], None]) -> None:
        """Bind this process's bell and call *tell* on *loop* when it rings; without one do nothing."""
        if self._own is not None or self._folder is None:
            return
        bell = _socket()
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(self._folder, 0o700)
            if not _is_ours(self._folder):
                raise PermissionError(f"{self._folder} is not this user's alone")
            bell.bind(str(self._folder / self._name))
            loop.add_reader(bell, self._rung, bell, tell)
        except (OSError, NotImplementedError):
            # No bell: looking now and then has to do.
            bell.close()
            self._folder = None
            return
        self._own, self._loop = bell, loop

    def ring(self, news: News) -> None:
        """Tell every other process that can be told. Never waits; called in the thread."""
        folder = self._folder
        if folder is None or not _is_ours(folder):
            return
        try:
            names = set(os.listdir(folder)) - {self._name}
        except OSError:
            # Nobody listens, or there is no file descriptor left: then they have to look.
            return
        for name in self._others.keys() - names:
            self._others.pop(name).close()
        if names:
            data = news.encoded()
            for name in names:
                self._send(folder / name, data)

    def close_own(self) -> None:
        """Take the bell down; called on the loop, or when it is closed."""
        if self._own is None or self._folder is None:
            return
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._own)
        self._own.close()
        self._own = None
        with contextlib.suppress(OSError):
            os.unlink(self._folder / self._name)
            os.rmdir(self._folder)

    def close_others(self) -> None:
        """Close the ways to the others; called when the thread has ended."""
        while self._others:
            self._others.popitem()[1].close()

    def _send(self, bell: Path, data: bytes) -> None:
        # A socket for each bell: what one stopped process leaves unread must not fill the buffer of all.
        way = self._others.get(bell.name)
        try:
            if way is None:
                way = self._others[bell.name] = _socket()
                way.connect(str(bell))
            way.send(data)
        except BlockingIOError:
            return
        except OSError as exc:
            if (way := self._others.pop(bell.name, None)) is not None:
                way.close()
            if isinstance(exc, ConnectionRefusedError):
                # Its process is dead.
                with contextlib.suppress(OSError):
                    os.unlink(bell)

    def _rung(self, bell: socket.socket, tell: Callable[[News], None]) -> None:
        news, heard = News(), 0
        try:
            while heard < _AT_ONCE:
                news.add(News.decoded(bell.recv(LONGEST_DATAGRAM)))
                heard += 1
        except BlockingIOError:
            pass
        news.everything |= heard >= _BUFFERED
        tell(news)


def _socket() -> socket.socket:
    bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    bell.setblocking(False)
    return bell


def _is_ours(folder: Path) -> bool:
    """Tell whether *folder* is a folder of this user that nobody else may enter."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077

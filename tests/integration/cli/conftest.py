"""A folder with an app in it, and the command run there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from aioqueue import Server, Signature, TaskState
from tests.support.processes import AIOQUEUE, Done, Process, run
from tests.support.zygote import run_module

APP = "tasks:server"
_PARENTS = {"dev", "-p", "--processes", "--reload"}
"""Words of commands that start processes of their own kind: they are started as a user does."""


@dataclass(frozen=True)
class Shell:
    """The command ``aioqueue`` in a folder that holds the module ``tasks``."""

    folder: Path

    async def run(self, *args: str, env: Mapping[str, str] | None = None, stdin: int | None = None) -> Done:
        """Run it to its end. stdin: a file descriptor it reads."""
        if not _PARENTS.isdisjoint(args):
            return await run([*AIOQUEUE, *args], env=env, cwd=self.folder, stdin=stdin, deadline=90)
        return await run_module("aioqueue", args, env=env, cwd=self.folder, stdin=stdin, deadline=90)

    def start(self, *args: str, env: Mapping[str, str] | None = None) -> Process:
        """Start it."""
        return Process.start([*AIOQUEUE, *args], env=env, cwd=self.folder)

    def module(self, name: str, text: str) -> None:
        """Write a module beside ``tasks``."""
        file = self.folder / f"{name}.py"
        file.write_text(text)
        # what was compiled of a text as long, written within the same second, would be taken for this one's
        Path(cache_from_source(str(file))).unlink(missing_ok=True)

    @property
    def url(self) -> str:
        """The store of the app."""
        return f"sqlite:///{self.folder}/tasks.db"

    async def empty(self) -> None:
        """Make the app's store, with nothing in it."""
        async with Server(self.url):
            pass

    async def sent(self, name: str, *args: object) -> str:
        """Send a task from here, and return its id."""
        async with Server(self.url) as server:
            return (await server.send(Signature(name=name, args=args))).id

    async def state(self, id: str, *, ended: float | None = None) -> TaskState:
        """Return a task's record; *ended*: once it has its value, for which it gets so many seconds."""
        async with Server(self.url) as server:
            result = server.result(id)
            if ended is not None:
                await result.get(timeout=ended)
            return await result.state()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shutil.copy(Path(__file__).with_name("tasks.py"), tmp_path)
    return Shell(tmp_path)

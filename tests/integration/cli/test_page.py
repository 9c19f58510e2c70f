"""The shell blocks of the pages run as they stand, in order, in one folder.

Which blocks are not run, and why, is listed in a test of the house.
"""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from aioqueue import Server
from tests.support.processes import ROOT, Process, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RUN: Final = ("README.md", "docs/guides/command-line.md", "docs/guides/periodic.md")
"""The pages whose shell blocks are run here."""

BLOCK: Final = re.compile(r"^```(python|sh|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

SHOP: Final = """
from aioqueue import Server

server = Server("sqlite:///tasks.db")


@server.task
async def count(shop: int) -> int:
    return shop * 10
"""
"""An app on a store that processes share, with the task that the page on periodic tasks sends."""


def blocks(page: str) -> list[tuple[str, str]]:
    """Return the blocks of a page: of which kind, and what is in it."""
    found: list[tuple[str, str]] = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    return found


def path(folder: Path) -> dict[str, str]:
    """Make the command in *folder*, and return the environment in which a shell finds it."""
    command = folder / "bin" / "aioqueue"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m aioqueue "$@"\n')
    command.chmod(0o755)
    return {"PATH": f"{command.parent}:/usr/bin:/bin"}


def keys(data: Any) -> set[str]:
    """Return the keys of an object, or of the first in a list."""
    first: dict[str, Any] = data[0] if isinstance(data, list) else data
    return set(first)


async def test_blocks_run_and_print_the_json_that_stands_below_them(tmp_path: Path) -> None:
    page = blocks("docs/guides/command-line.md")
    (tmp_path / "tasks.py").write_text(next(text for kind, text in page if kind == "python"))
    env = path(tmp_path)
    printed, compared, codes = "", 0, list[str]()
    for kind, text in page:
        if kind == "sh":
            done = await run(["sh", "-eu", "-c", text], cwd=tmp_path, env=env, deadline=120)
            assert done.code == 0, f"{text}\n{done.out}\n{done.err}"
            printed = done.out
            codes += re.findall(r"exit code (\d)", printed)
        elif kind == "json":
            compared += 1
            assert keys(json.loads(text)) <= keys(json.loads(printed.splitlines()[-1])), text

    assert compared == 16
    assert codes == ["1", "4", "3"]
    assert not (tmp_path / "mistyped.db").exists()


async def test_first_task_of_the_readme_runs_in_two_terminals(tmp_path: Path) -> None:
    page = blocks("README.md")
    (tmp_path / "tasks.py").write_text(next(text for kind, text in page if kind == "python"))
    first, second = [text for kind, text in page if kind == "sh" and text.startswith("aioqueue")]
    env = path(tmp_path)
    async with Process.start(["sh", "-eu", "-c", f"exec {first}"], cwd=tmp_path, env=env) as worker:
        await worker.line("is ready", deadline=90)
        done = await run(["sh", "-eu", "-c", second], cwd=tmp_path, env=env, deadline=120)
        worker.signal(signal.SIGTERM)
        code = await worker.wait(deadline=90)

    assert (done.code, code) == (0, 0), f"{done}\n{worker.lines}"
    assert "SUCCESS: 3" in done.out


async def test_schedules_are_shown_and_changed_as_the_page_on_them_says(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(SHOP)
    async with Server(f"sqlite:///{tmp_path}/tasks.db"):
        pass
    (text,) = [text for kind, text in blocks("docs/guides/periodic.md") if kind == "sh"]
    done = await run(["sh", "-eu", "-c", text], cwd=tmp_path, env=path(tmp_path), deadline=240)

    assert done.code == 0, f"{done.out}\n{done.err}"
    assert "schedule evening is paused" in done.out
    assert "+09:00" in done.out

"""The shell blocks of the page on the command line run as they stand, in order, in one folder."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import ROOT, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PAGE = (ROOT / "docs" / "guides" / "command-line.md").read_text()
BLOCK = re.compile(r"^```(python|sh|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def keys(data: Any) -> set[str]:
    """Return the keys of an object, or of the first in a list."""
    first: dict[str, Any] = data[0] if isinstance(data, list) else data
    return set(first)


async def test_blocks_run_and_print_the_json_that_stands_below_them(tmp_path: Path) -> None:
    command = tmp_path / "bin" / "aioqueue"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m aioqueue "$@"\n')
    command.chmod(0o755)
    blocks: list[tuple[str, str]] = BLOCK.findall(PAGE)
    (tmp_path / "tasks.py").write_text(next(text for kind, text in blocks if kind == "python"))
    path = {"PATH": f"{command.parent}:/usr/bin:/bin"}
    printed, compared, codes = "", 0, list[str]()
    for kind, text in blocks:
        if kind == "sh":
            done = await run(["sh", "-eu", "-c", text], cwd=tmp_path, env=path, deadline=120)
            assert done.code == 0, f"{text}\n{done.out}\n{done.err}"
            printed = done.out
            codes += re.findall(r"exit code (\d)", printed)
        elif kind == "json":
            compared += 1
            assert keys(json.loads(text)) <= keys(json.loads(printed.splitlines()[-1])), text

    assert compared == 16
    assert codes == ["1", "4", "3"]
    assert not (tmp_path / "mistyped.db").exists()

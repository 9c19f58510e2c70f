"""Both type checkers refuse what a user can get wrong, and exactly that."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REFUSED = Path(__file__).with_name("refused.py")
ACCEPTED = Path(__file__).with_name("accepted.py")

pytestmark = pytest.mark.timeout(180)


def marked() -> set[int]:
    lines = REFUSED.read_text().splitlines()
    return {number for number, line in enumerate(lines, start=1) if "# error:" in line}


def run(*argv: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", *argv], capture_output=True, text=True, timeout=150, cwd=ROOT, check=False
    ).stdout


def test_mypy_refuses_exactly_the_marked_lines() -> None:
    said = run("mypy", "--no-error-summary", str(ACCEPTED), str(REFUSED))
    errors = re.findall(r"^(\S+):(\d+): error: ", said, flags=re.MULTILINE)

    assert {int(line) for path, line in errors if path.endswith("refused.py")} == marked()
    assert [path for path, _ in errors if not path.endswith("refused.py")] == []


def test_pyright_refuses_exactly_the_marked_lines() -> None:
    report = json.loads(run("pyright", "--outputjson", "--project", str(REFUSED.parent)))
    errors = [item for item in report["generalDiagnostics"] if item["severity"] == "error"]
    lines = {item["range"]["start"]["line"] + 1 for item in errors if item["file"].endswith("refused.py")}

    assert lines == marked()
    assert [item["message"] for item in errors if not item["file"].endswith("refused.py")] == []

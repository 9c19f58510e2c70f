"""The references of workflows and cron lines can be read, and owe nothing to the code they judge."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parents[1] / "support"
LINES = {"interpreter": 80, "cron": 40}


def imported(module: Path) -> Iterator[str]:
    """Yield what a module imports, and what is imported by those of the tests among that."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or "."]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            yield name
            if name.startswith("tests."):
                yield from imported(SUPPORT.parents[1] / f"{name.replace('.', '/')}.py")


@pytest.mark.parametrize("name", LINES)
def test_it_has_few_lines(name: str) -> None:
    lines = (SUPPORT / f"{name}.py").read_text(encoding="utf-8").splitlines()

    assert len(lines) <= LINES[name]


def test_cron_reference_imports_what_knows_no_cron_line() -> None:
    assert set(imported(SUPPORT / "cron.py")) == {"re", "datetime"}


def test_interpreter_imports_nothing_of_the_package() -> None:
    names = set(imported(SUPPORT / "interpreter.py"))

    assert "tests.support.trees" in names
    assert "hashlib" in names
    assert [name for name in names if name.partition(".")[0] == "aioqueue"] == []

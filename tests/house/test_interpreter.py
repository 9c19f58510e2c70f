"""The reference interpreter is small enough to be read, and owes nothing to the code it judges."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SUPPORT = Path(__file__).parents[1] / "support"
LINES = 80


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


def test_it_has_few_lines() -> None:
    lines = (SUPPORT / "interpreter.py").read_text(encoding="utf-8").splitlines()

    assert len(lines) <= LINES


def test_it_imports_nothing_of_the_package() -> None:
    names = set(imported(SUPPORT / "interpreter.py"))

    assert "tests.support.trees" in names
    assert "hashlib" in names
    assert [name for name in names if name.partition(".")[0] == "aioqueue"] == []

"""The Python in the documentation runs as it stands: a page's blocks in order, in a process of its own.

A page becomes a program by blanking all that is not code, so a traceback tells the page's lines. What
a ``print(...)  # words`` promises must be printed, in that order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.cli.test_page import RUN as SHELL_RUN
from tests.support.processes import Done
from tests.support.zygote import run_module

ROOT = Path(__file__).parents[2]

NOT_RUN = {"docs/internals/design.md": 1}
"""How many blocks of a page are marked ``no-run``: they show what is still to come."""

FOREVER = "runs until it is told to stop; "

SHELL_NOT_RUN = {
    "README.md": {
        "make demo": "builds a virtual environment from an index; tests run the examples, of which it is one",
        "pip install .": "installs into the machine that runs the tests; make does it in one of its own",
    },
    "docs/guides/command-line.md": {
        "aioqueue worker tasks:server --queue high,default --concurrency 50 --processes 2": (
            f"{FOREVER}that of the README is run in its place"
        ),
        "aioqueue dev tasks:server": f"{FOREVER}test_reload runs it",
        "aioqueue workflow 01a2… --app tasks:server": "its id is none; test_workflow runs it",
        "aioqueue schedule run tasks:server": f"{FOREVER}test_schedule runs it",
        "aioqueue completion bash > ~/.local/share/bash-completion/completions/aioqueue": (
            "writes into the home of whoever runs the tests; test_help runs it"
        ),
    },
}
"""Of each page the first lines of shell blocks that no test runs, and why."""

SHELL = re.compile(
    r"^ *`{3,} *(?:(?:sh|shell|bash|console)\b|\{\.(?:sh|shell|bash|console)\b)([^`\n]*)\n(.*?)\n",
    re.MULTILINE,
)
"""A block for a shell: what stands behind its language, and its first line."""

FENCE = re.compile(r"^( *)(`{3,}|~{3,})([^`]*)$")
PROMISE = re.compile(r"^ *print\(.*\)  # (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """A page as a program. skipped: its blocks that are not run."""

    path: str
    program: str
    blocks: int
    skipped: int

    @property
    def promised(self) -> list[str]:
        return PROMISE.findall(self.program)


def read(path: str, text: str) -> Page:
    lines, blocks, skipped = [], 0, 0
    fence, runs = None, False
    for line in text.splitlines():
        found = FENCE.match(line)
        code = ""
        if fence is not None and found and found[2].startswith(fence[2]) and not found[3].strip():
            fence = None
        elif fence is not None:
            code = line.removeprefix(fence[1]) if runs else ""
        elif found:
            fence = found
            words = re.findall(r"[\w-]+", found[3])
            python = words[:1] in (["python"], ["py"], ["python3"], ["pycon"])
            runs = python and "no-run" not in words
            blocks += runs
            skipped += python and not runs
        lines.append(code)
    return Page(path, "\n".join(lines).rstrip() + "\n", blocks, skipped)


def pages() -> Iterator[Page]:
    for file in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        yield read(file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8"))


async def run(page: Page, folder: Path) -> Done:
    # no name that another module has
    name = f"page {Path(page.path).stem}"
    (folder / f"{name}.py").write_text(page.program, encoding="utf-8")
    return await run_module(name, (), env={"PYTHONWARNINGS": "error"}, cwd=folder, stdin=None, deadline=50)


def missing(promised: list[str], printed: list[str]) -> list[str]:
    """Return the promised lines from the first that was not printed in its turn."""
    left = iter(printed)
    kept = 0
    for line in promised:
        if line not in left:
            break
        kept += 1
    return promised[kept:]


@pytest.mark.parametrize("page", [page for page in pages() if page.blocks], ids=lambda page: page.path)
async def test_blocks_run_and_print_what_they_promise(page: Page, tmp_path: Path) -> None:
    done = await run(page, tmp_path)

    assert done.code == 0, f"{page.path}\n{done.err}"
    assert missing(page.promised, done.out.splitlines()) == [], done.out


def test_blocks_that_are_not_run_are_known() -> None:
    assert {page.path: page.skipped for page in pages() if page.skipped} == NOT_RUN


def test_every_shell_block_is_run_or_it_is_said_why_not() -> None:
    left = dict[str, set[str]]()
    for file in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        path = file.relative_to(ROOT).as_posix()
        for mark, first in SHELL.findall(file.read_text(encoding="utf-8")):
            # those of the README that are not marked are told by the command, so that it stays clean
            run = path in SHELL_RUN and "no-run" not in mark and first.startswith("aioqueue ")
            if not run:
                left.setdefault(path, set()).add(first)

    assert left == {path: set(reasons) for path, reasons in SHELL_NOT_RUN.items()}


def test_the_design_names_every_room() -> None:
    design = (ROOT / "docs" / "internals" / "design.md").read_text(encoding="utf-8")
    package = ROOT / "aioqueue"
    files = [
        file for folder in ("", "models", "protocols", "worker") for file in (package / folder).glob("*.py")
    ]
    packages = [
        file.parent for file in [*package.glob("*/__init__.py"), *package.glob("adapters/*/__init__.py")]
    ]
    rooms = {path.stem for path in [*files, *packages] if not path.stem.startswith("__")}

    assert {room for room in rooms if not re.search(rf"`{room}/?`", design)} == set()


def test_a_page_becomes_a_program_with_its_own_lines() -> None:
    text = (
        "# Title\n\n```python\nx = 1\n```\n\n- item\n\n  ```python\n  print(x)  # 1\n  ```\n```sh\nx\n```\n"
    )
    page = read("page.md", text)

    assert page.program == "\n\n\nx = 1\n\n\n\n\n\nprint(x)  # 1\n"
    assert (page.blocks, page.skipped, page.promised) == (2, 0, ["1"])


@pytest.mark.parametrize("mark", ["python no-run", "{.python .no-run}", "py no-run"])
def test_a_marked_block_is_left_out(mark: str) -> None:
    page = read("page.md", f"```{mark}\nboom\n```\n````text\n```python\nboom\n```\n````\n")

    assert (page.program.strip(), page.blocks, page.skipped) == ("", 0, 1)


async def test_a_page_that_fails_or_breaks_its_promise_is_found(tmp_path: Path) -> None:
    failing = read("page.md", "```python\n\nraise SystemExit(3)\n```\n")
    warning = read("page.md", "```python\nimport warnings\nwarnings.warn('no')\n```\n")

    assert (await run(failing, tmp_path)).code == 3
    assert "UserWarning: no" in (warned := await run(warning, tmp_path)).err
    assert warned.code == 1
    assert missing(["1", "2", "3"], ["1", "3", "2"]) == ["3"]

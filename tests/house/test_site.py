"""The documentation builds strictly, and what is built asks no other host for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LOADED = {"href": {"link"}, "src": {"script", "img", "iframe", "audio", "video", "source", "embed", "input"}}
"""By attribute, the elements that make a browser load what it names; a link is only followed by people."""
ELSEWHERE = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
IN_STYLE = re.compile(r"(?:url\(|@import)\s*['\"]?\s*((?:https?:)?//[^'\")\s]*)", re.IGNORECASE)


class Loads(HTMLParser):
    """Collects what a page makes a browser load from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            loaded = tag in LOADED.get(name, ()) or name == "srcset"
            if loaded and ELSEWHERE.match(value or ""):
                self.found.append(f"<{tag} {name}={value}>")
            elif name == "class" and "mermaid" in (value or "").split():
                # the theme's script would fetch what draws it
                self.found.append(f"<{tag} class={value}>")


def asked_for(text: str, *, style: bool) -> list[str]:
    """Return what a page, or a style sheet, loads from other hosts."""
    if style:
        return IN_STYLE.findall(text)
    loads = Loads()
    loads.feed(text)
    return [*loads.found, *IN_STYLE.findall(" ".join(re.findall(r"<style.*?</style>", text, re.DOTALL)))]


def offences(folder: Path) -> Iterator[str]:
    for file in sorted([*folder.rglob("*.html"), *folder.rglob("*.css")]):
        for what in asked_for(file.read_text(encoding="utf-8"), style=file.suffix == ".css"):
            yield f"{file.relative_to(folder)}: {what}"


@pytest.mark.timeout(280)
def test_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=240, check=False)

    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.rglob("index.html"))) > len(list((ROOT / "docs").rglob("*.md"))) // 2
    assert list(offences(tmp_path)) == []


@pytest.mark.parametrize(
    "text",
    [
        '<link rel="stylesheet" href="https://fonts.example/css">',
        "<script src='//cdn.example/a.js'></script>",
        '<img alt="" src="http://img.example/a.png">',
        '<img srcset="https://img.example/a.png 2x">',
        '<style>@import "https://fonts.example/css";</style>',
        '<pre class="mermaid"></pre>',
    ],
)
def test_what_a_page_loads_from_elsewhere_is_found(text: str) -> None:
    assert asked_for(text, style=False) != []


def test_what_a_style_sheet_loads_from_elsewhere_is_found() -> None:
    assert asked_for("a { background: url('https://a.example/x.svg') }", style=True) != []
    assert asked_for("a { background: url(data:image/svg+xml;base64,AA) }", style=True) == []


def test_links_that_people_follow_and_own_files_are_no_offence() -> None:
    text = '<a href="https://example.com">x</a><script src="../assets/a.js"></script><img src="data:,x">'

    assert asked_for(text, style=False) == []

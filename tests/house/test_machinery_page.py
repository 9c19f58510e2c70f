"""The page for those who come from machinery tells of every key what becomes of it; its files load."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from aioqueue import config
from aioqueue.machinery import FORMS, KEYS, Fate
from aioqueue.models.settings import Settings

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
PAGE = GUIDES / "coming-from-machinery.md"
YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FATES = {
    Fate.READ: "read",
    Fate.IGNORED: "ignored",
    Fate.WARNED: "ignored, and told",
    Fate.REFUSED: "refused",
}


def render() -> list[str]:
    """Return the rows of the table as they are to stand on the page."""
    rows: list[str] = []
    for key in KEYS:
        silent = [json.dumps(value).strip('"') for value in key.empty if value not in ("", {})]
        fate = FATES[key.fate] + (f", but for `{'`, `'.join(silent)}`" if silent else "")
        rows.append(f"| `{key.name}` | {fate} | {key.says} |")
    return rows


def files() -> list[str]:
    return [text for page in (PAGE, GUIDES / "settings.md") for text in YAML.findall(page.read_text())]


def test_every_key_stands_on_the_page_with_what_becomes_of_it() -> None:
    rows = [
        line for line in PAGE.read_text().splitlines() if line.startswith("| `") and line.count(" | ") == 2
    ]

    assert rows == render()


def test_every_way_to_write_a_url_that_is_refused_stands_on_the_page() -> None:
    page = PAGE.read_text()

    assert [form.says for form in FORMS if form.says not in page] == []


def test_what_is_read_is_a_setting_and_nothing_else_is() -> None:
    read = {name for key in KEYS for name in key.ours}

    assert read <= Settings.model_fields.keys()
    assert {key.fate for key in KEYS if key.ours} == {Fate.READ}
    assert all(key.ours for key in KEYS if key.fate is Fate.READ)


@pytest.mark.parametrize("text", files())
def test_file_on_a_page_loads(text: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text(text)

    assert config.load({}, file=file, variables=False).origins["broker"].place == f"{file}:1"


def test_there_are_files_on_the_pages() -> None:
    assert len(files()) >= 2

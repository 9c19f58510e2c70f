"""The page on settings names every setting, with its default; what pages show of files is as they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aioqueue import RetryPolicy, Settings, config

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
PAGE = GUIDES / "settings.md"
FILES = [
    pytest.param(text, id=f"{page.stem}-{number}")
    for page in sorted(GUIDES.glob("*.md"))
    for number, text in enumerate(
        re.findall(r"^```yaml\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    )
]
POLICIES = re.findall(
    r"^\| `RetryPolicy([^`]+)` \| `(\{[^`]+\})` \|$", (GUIDES / "time.md").read_text(), re.MULTILINE
)


def test_every_setting_stands_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PAGE.read_text(), flags=re.MULTILINE))
    defaults = {name: field.default for name, field in Settings.model_fields.items()}

    assert rows.keys() == defaults.keys()
    for name, default in defaults.items():
        if isinstance(default, int | float) and not isinstance(default, bool):
            assert float(rows[name].split()[0]) == default, name


@pytest.mark.parametrize("text", FILES)
def test_file_that_a_page_shows_is_read(text: str, tmp_path: Path) -> None:
    file = tmp_path / "aioqueue.yaml"
    file.write_text(text)

    assert f"{file}:1" in map(str, config.load({}, file=file, variables=False).origins.values())


@pytest.mark.parametrize(("code", "yaml"), POLICIES)
def test_policy_in_code_is_the_one_beside_it_in_a_file(code: str, yaml: str, tmp_path: Path) -> None:
    file = tmp_path / "aioqueue.yaml"
    file.write_text(f"retry: {yaml}\n")
    written = eval(f"RetryPolicy{code}", {"RetryPolicy": RetryPolicy})

    assert config.load({}, file=file, variables=False).settings.retry == written


def test_policies_stand_on_the_page() -> None:
    assert len(FILES) >= 4
    assert len(POLICIES) >= 4

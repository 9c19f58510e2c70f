"""The page on settings names every setting, with its default."""

from __future__ import annotations

import re
from pathlib import Path

from aioqueue import Settings

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "settings.md"


def test_every_setting_stands_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PAGE.read_text(), flags=re.MULTILINE))
    defaults = {name: field.default for name, field in Settings.model_fields.items()}

    assert rows.keys() == defaults.keys()
    for name, default in defaults.items():
        if isinstance(default, int | float) and not isinstance(default, bool):
            assert float(rows[name].split()[0]) == default, name

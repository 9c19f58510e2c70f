"""What `import aioqueue` gives, and what it must not load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import aioqueue

ROOT = Path(__file__).parents[2]
LATE = ("aioqueue.adapters", "click", "pydantic_settings", "redis", "rich", "sqlite3", "yaml")


def test_all_is_sorted() -> None:
    assert list(aioqueue.__all__) == sorted(set(aioqueue.__all__))


def test_all_names_what_is_public_and_nothing_else() -> None:
    public = {
        name
        for name in dir(aioqueue)
        if not name.startswith("_")
        and name != "annotations"
        and not isinstance(getattr(aioqueue, name), ModuleType)
    }

    assert {name for name in aioqueue.__all__ if not name.startswith("_")} == public


def test_every_name_in_all_is_there() -> None:
    missing = [name for name in aioqueue.__all__ if not hasattr(aioqueue, name)]

    assert missing == []


def test_import_loads_no_adapter_and_nothing_heavy() -> None:
    """In a fresh process: this one has loaded nearly all of it."""
    code = "import json, sys, aioqueue; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)

    assert [name for name in loaded if any(f"{name}.".startswith(f"{late}.") for late in LATE)] == []

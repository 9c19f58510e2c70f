"""Help costs nothing that it does not need, and every verb has it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from aioqueue.cli.group import VERBS
from tests.support.processes import AIOQUEUE, run

LATE = (
    "anyio",
    "hiredis",
    "orjson",
    "pydantic",
    "pydantic_core",
    "redis",
    "rich",
    "sqlite3",
    "uvloop",
    "yaml",
)
LIST = """
import json, sys
from aioqueue.cli import main
try:
    main(sys.argv[1:], prog_name="aioqueue")
finally:
    print(json.dumps(sorted(sys.modules)))
"""


async def loaded(*args: str) -> list[str]:
    done = await run([sys.executable, "-c", LIST, *args])
    assert done.code == 0, done.err
    return [name.partition(".")[0] for name in json.loads(done.out.splitlines()[-1])]


async def test_help_of_the_worker_loads_click_and_nothing_heavy() -> None:
    modules = await loaded("worker", "--help")

    assert "click" in modules
    assert [name for name in modules if name in {*LATE, "asyncio"}] == []


@pytest.mark.parametrize("args", [("--help",), ("version", "--json"), *((verb, "-h") for verb in VERBS)])
async def test_nothing_heavy_is_loaded_without_a_store(args: tuple[str, ...]) -> None:
    modules = await loaded(*args)

    assert [name for name in modules if name in LATE] == []


@pytest.mark.parametrize("verb", VERBS)
async def test_help_of_every_verb_has_an_example(verb: str) -> None:
    done = await run([*AIOQUEUE, verb, "--help"])

    assert f"Example: aioqueue {verb}" in done.out


async def test_help_lists_every_verb() -> None:
    done = await run([*AIOQUEUE, "--help"])

    assert [verb for verb in VERBS if f"\n  {verb} " not in done.out] == []


async def test_version_is_that_of_the_distribution(tmp_path: Path) -> None:
    meta = tmp_path / "aioqueue_tasks-7.8.9.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: aioqueue-tasks\nVersion: 7.8.9\n")
    env = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[3]}"}

    assert (await run([*AIOQUEUE, "--version"], env=env)).out == "aioqueue 7.8.9\n"
    said = await run([*AIOQUEUE, "version"], env=env)
    assert said.out.startswith("aioqueue 7.8.9, Python 3.")
    data = await run([*AIOQUEUE, "version", "--json"], env=env)
    assert json.loads(data.out)["aioqueue"] == "7.8.9"


async def test_shells_complete_verbs_and_options() -> None:
    scripts = [await run([*AIOQUEUE, "completion", shell]) for shell in ("bash", "zsh", "fish")]
    words = {"_AIOQUEUE_COMPLETE": "bash_complete", "COMP_WORDS": "aioqueue worker --max", "COMP_CWORD": "2"}
    completed = await run([*AIOQUEUE], env=words)
    below = await run([*AIOQUEUE], env={**words, "COMP_WORDS": "aioqueue dead re"})

    assert [done.code for done in scripts] == [0, 0, 0]
    assert all("_AIOQUEUE_COMPLETE" in done.out for done in scripts)
    assert completed.out == "plain,--max-tasks\n"
    assert below.out == "plain,requeue\n"
    assert (await run([*AIOQUEUE, "completion", "tcsh"])).code == 2

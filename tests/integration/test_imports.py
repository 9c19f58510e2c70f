"""What an import costs: nobody pays for what is not used."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.support.processes import environment

HEAVY = ("pydantic", "redis", "anyio", "orjson", "pydantic_settings", "yaml", "rich", "sqlite3")


def loaded_after(code: str) -> set[str]:
    """Return the modules a fresh interpreter holds after *code*."""
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(),
        check=True,
    )
    return set(done.stderr.split())


def test_help_of_the_worker_loads_click_and_nothing_heavy() -> None:
    loaded = loaded_after(
        "from aioqueue.cli import main\ntry:\n    main(['worker', '--help'])\nexcept SystemExit:\n    pass"
    )

    assert "click" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_importing_the_package_loads_no_adapter_and_nothing_heavy() -> None:
    loaded = loaded_after("import aioqueue")

    assert [name for name in loaded if name.startswith("aioqueue.adapters")] == []
    assert [name for name in HEAVY if name in loaded] == []


def test_server_loads_only_the_adapter_it_names() -> None:
    loaded = loaded_after("from aioqueue import Server\nServer('memory://x')")

    assert "aioqueue.adapters.memory" in loaded
    assert [name for name in loaded if name.startswith("aioqueue.adapters.sqlite")] == []
    assert [
        name for name in ("redis", "sqlite3", "pydantic_settings", "yaml", "rich") if name in loaded
    ] == []


def test_every_public_name_is_there() -> None:
    loaded_after("import aioqueue\nfor name in aioqueue.__all__:\n    getattr(aioqueue, name)")

    with pytest.raises(subprocess.CalledProcessError):
        loaded_after("import aioqueue\naioqueue.no_such_name")


def cpu_time(argv: Sequence[str]) -> float:
    """Return the seconds of processor time that a process takes."""
    process = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(), text=True
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_help_of_the_worker_takes_at_most_twice_the_time_of_importing_click() -> None:
    """By the least of many runs of each: what is above that is the machine's."""
    click = [sys.executable, "-X", "importtime", "-c", "import click"]
    shown = [sys.executable, "-m", "aioqueue", "worker", "--help"]
    ratio = float("inf")
    for _ in range(10):
        imported, helped = (min(cpu_time(argv) for _ in range(10)) for argv in (click, shown))
        ratio = min(ratio, helped / imported)
        if ratio <= 2:
            break

    print(f"worker --help takes {ratio:.2f} of the time of importing click")
    assert ratio <= 2

"""The Makefile says what is missing, on a machine that cannot build a virtual environment."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def make(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run make as a person does, also where these tests were started by one."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    argv = ["make", "--no-print-directory", *words]
    return subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("fails_on", "said"),
    [
        ("ensurepip", "cannot make virtual environments. On Debian: apt-get install python3-venv"),
        ("version_info", "aioqueue needs Python 3.11 or newer"),
    ],
)
def test_missing_python_or_venv_is_told_with_what_to_install(
    tmp_path: Path, fails_on: str, said: str
) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncase "$*" in *{fails_on}*) exit 1;; esac\n')
    python.chmod(0o755)

    done = make("demo", f"PYTHON={python}", cwd=tmp_path)

    assert done.returncode != 0
    assert said in done.stderr
    assert not (tmp_path / ".venv-core").exists()


def test_every_proof_that_is_listed_is_a_target_that_prove_runs() -> None:
    listed = [line.split()[0] for line in make("prove-list").stdout.splitlines()]
    planned = make("--dry-run", "--print-data-base", "prove").stdout
    (rule,) = [line for line in planned.splitlines() if line.startswith("prove:")]

    assert len(listed) >= 8
    assert rule.removeprefix("prove:").split() == listed


def test_every_slow_test_is_run_by_a_proof() -> None:
    rules = (ROOT / "Makefile").read_text().replace("\\\n", " ").splitlines()
    proofs = [rule for rule in rules if "$(PYTEST)" in rule or "$(TOGETHER)" in rule or "$(A_FEW)" in rule]
    named = {word for proof in proofs for word in proof.split() if word.endswith(".py")}
    folders = {
        word for proof in proofs if "-m slow" in proof for word in proof.split() if word[:6] == "tests/"
    }
    files = [path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py")]
    mark = "pytest." + "mark.slow"
    slow = [path for path in files if mark in (ROOT / path).read_text()]

    assert slow
    assert [
        path for path in map(str, slow) if path not in named and not any(path.startswith(f) for f in folders)
    ] == []

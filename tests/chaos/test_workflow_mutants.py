"""What the scenarios of workflows see: each mutant fails in one of them, and the package in none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos import copies
from tests.chaos import workflow_mutants as mutants
from tests.chaos.borne import SCENARIOS, late, outlasted, sent_again, worker_dies
from tests.chaos.copies import Change

pytestmark = pytest.mark.slow

MUTANTS = {
    "who joins is a counter": (mutants.COUNTER, sent_again, "3 of 4 calls ran"),
    "a failing member closes nothing": (mutants.NO_EXITS, worker_dies, "has not ended"),
    "values have their own time": (
        mutants.OWN_TIME,
        outlasted,
        "the values of 'brief.4' are not kept any more",
    ),
    "a late member makes its group again": (mutants.RECREATED, late, "the group is back"),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario_of_a_mutant_is_borne_without_it(scenario: str, tmp_path: Path) -> None:
    done = _borne(scenario, (), tmp_path)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_found(name: str, tmp_path: Path) -> None:
    changes, scenario, fault = MUTANTS[name]

    done = _borne(scenario.__name__, changes, tmp_path)

    assert done.returncode == 1
    assert done.stderr.startswith(fault)


def _borne(scenario: str, changes: Sequence[Change], folder: Path) -> subprocess.CompletedProcess[str]:
    copy = copies.copied(folder / "copy", changes, of=copies.PACKAGE)
    argv = [sys.executable, "-m", "tests.chaos.borne", scenario, str(folder)]
    env = {**os.environ, **copies.environment(copy)}
    return subprocess.run(argv, cwd=copy, env=env, capture_output=True, text=True, timeout=60, check=False)

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
from tests.chaos.borne import SCENARIOS, STORES
from tests.chaos.copies import Change

pytestmark = pytest.mark.slow

GONE = "the values of 'brief.4' are not kept any more"
EARLY = "the callback was released before all had joined"

MUTANTS: dict[str, dict[str, tuple[Sequence[Change], str, str]]] = {
    "who joins is a counter": {
        "memory": (mutants.COUNTER, "sent_again", "3 of 4 calls ran"),
        "sqlite": (mutants.COUNTER_SQLITE, "again", EARLY),
        "redis": (mutants.COUNTER_REDIS, "again", EARLY),
    },
    "a failing member closes nothing": {
        "memory": (mutants.NO_EXITS, "worker_dies", "has not ended"),
        "sqlite": (mutants.NO_EXITS, "none_dies", "has not ended"),
        "redis": (mutants.NO_EXITS_REDIS, "none_dies", "has not ended"),
    },
    "values have their own time": {
        "memory": (mutants.OWN_TIME, "outlasted", GONE),
        "sqlite": (mutants.OWN_TIME_SQLITE, "outlasted", GONE),
        "redis": (mutants.OWN_TIME_REDIS, "outlasted", GONE),
    },
    "a late member makes its group again": {
        "memory": (mutants.RECREATED, "late", "the group is back"),
        "sqlite": (mutants.RECREATED_SQLITE, "late", "the group is back"),
        "redis": (mutants.RECREATED_REDIS, "late", "the group is back"),
    },
}
"""Of each store: the mutant, the scenario that finds it, and what is broken then."""

BORNE = sorted({(scenario, store) for of in MUTANTS.values() for store, (_, scenario, _) in of.items()})


@pytest.mark.parametrize(("scenario", "store"), BORNE)
def test_scenario_of_a_mutant_is_borne_without_it(scenario: str, store: str, tmp_path: Path) -> None:
    done = _borne(scenario, store, (), tmp_path)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_found(name: str, store: str, tmp_path: Path) -> None:
    changes, scenario, fault = MUTANTS[name][store]

    done = _borne(scenario, store, changes, tmp_path)

    assert done.returncode == 1
    assert done.stderr.startswith(fault)


def test_every_scenario_finds_a_mutant() -> None:
    assert {scenario for scenario, _ in BORNE} == set(SCENARIOS)


def _borne(
    scenario: str, store: str, changes: Sequence[Change], folder: Path
) -> subprocess.CompletedProcess[str]:
    copy = copies.copied(folder / "copy", changes, of=copies.PACKAGE)
    argv = [sys.executable, "-m", "tests.chaos.borne", scenario, store, str(folder)]
    env = {**os.environ, **copies.environment(copy)}
    return subprocess.run(argv, cwd=copy, env=env, capture_output=True, text=True, timeout=100, check=False)

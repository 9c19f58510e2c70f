"""The list of stores: what a missing one means, and how others join."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.clocks import PatientClock
from tests.support.stores import BUILT_IN, clock_for, missing, named

ROOT = Path(__file__).parents[2]


def test_missing_service_skips_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match="redis is missing: refused"):
        missing("redis", "refused")


def test_missing_service_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception, match="redis is missing: refused"):
        missing("redis", "refused")


def test_place_of_a_test_is_no_other_tests(tmp_path: Path) -> None:
    for implementation in BUILT_IN:
        assert implementation.url(tmp_path) != implementation.url(tmp_path)


def test_named_store_is_shared_and_keeps_its_own_time(tmp_path: Path) -> None:
    implementation = named("memory://user:secret@shared")

    assert implementation.name == "memory"
    assert implementation.url(tmp_path) == "memory://user:secret@shared"
    assert implementation.service == "memory://shared"
    assert isinstance(clock_for(implementation), PatientClock)


def test_environment_names_the_stores_to_run_over() -> None:
    """In a fresh process: the list is made when the module is imported."""
    code = "from tests.support.stores import IMPLEMENTATIONS as s; print([i.name for i in s])"
    env = {**os.environ, "AIOQUEUE_TEST_URLS": "mine://host/0, yours://host/1"}

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    assert done.stdout.strip() == "['mine', 'yours']"

"""What a task costs in counts, which no load of the machine changes, does not grow unseen."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import costs

GROWTH = 1.1


@pytest.fixture(scope="module")
def baseline() -> dict[str, Any]:
    """The baseline that is committed."""
    found: dict[str, Any] = json.loads(costs.BASELINE.read_text())
    return found


def test_a_task_costs_no_more_than_the_baseline_allows(baseline: dict[str, Any]) -> None:
    alike = baseline["python"] == costs.PYTHON

    grown = costs.grown(costs.measured(), baseline["costs"], by=GROWTH, alike=alike)

    assert not grown, (
        f"{'; '.join(grown)}. Make it cheaper, or renew the baseline, by `make costs`, and say why"
    )


def test_what_grows_is_named() -> None:
    before = {"run": {"calls": 100.0, "commands": 10.0}}
    after = {"run": {"calls": 111.0, "commands": 12.0}}

    assert costs.grown(after, before, by=GROWTH, alike=True) == [
        "run: 111 calls a task, 100 before",
        "run: 12 commands a task, 10 before",
    ]
    assert costs.grown(after, before, by=GROWTH, alike=False) == ["run: 12 commands a task, 10 before"]

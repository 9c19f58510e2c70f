"""Random workflows on every store come to what a reference interpreter allows, and to nothing else.

Every call in them runs once where it must and not at all where it may not, and is ended when all is done. A
failure shows the tree as it is written in a test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from aioqueue import Server
from tests.support.forest import DEEPEST, MOST, Mix, forest
from tests.support.ground import Ground
from tests.support.stores import BUILT_IN, Implementation
from tests.support.trees import calls_of, depth

FEW, MANY = 25, 200

RETURNING: Final = 3
"""Percent of calls that return a workflow: with 3, a third of the workflows have such a call."""


@pytest.mark.anyio
@pytest.mark.parametrize("store", BUILT_IN, ids=lambda store: store.name)
@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
async def test_workflows_come_to_what_the_interpreter_allows(
    tmp_path: Path, store: Implementation, count: int
) -> None:
    url = store.url(tmp_path)
    ground = Ground(Server(url), forest(count, RETURNING))

    await ground.run()

    assert ground.faults() == "", f"\n{ground.faults()}"
    if store.check is not None:
        store.check(url, ended=True)


def test_the_workflows_are_of_every_kind() -> None:
    trees = forest(MANY, RETURNING)
    mix = Mix.of(trees)

    assert len(trees) == MANY
    assert all(depth(tree) <= DEEPEST and len(calls_of(tree)) <= MOST for tree in trees)
    assert mix.deep >= 0.3, mix
    assert mix.failing >= 0.2, mix
    assert mix.empty >= 0.1, mix
    assert mix.retrying >= 0.1, mix
    assert mix.called_back >= 0.1, mix
    assert mix.calling >= 0.1, mix
    assert mix.returning >= (0.1 if RETURNING else 0), mix

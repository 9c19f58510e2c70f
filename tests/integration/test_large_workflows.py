"""Workflows that are long, wide or deep run on every store as small ones do."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from aioqueue import Server, chord
from tests.support.ground import Ground
from tests.support.stores import BUILT_IN, Implementation
from tests.support.trees import Tree, calls_of, deep, depth, long, written
from tests.support.waiting import within

_MANY: Final = 10_000


@pytest.mark.anyio
@pytest.mark.parametrize("store", BUILT_IN, ids=lambda store: store.name)
@pytest.mark.parametrize(
    "tree",
    [
        pytest.param(long(1_000), marks=pytest.mark.slow, id="1,000 steps"),
        pytest.param(long(100), id="100 steps"),
        pytest.param(deep(50), id="50 deep"),
    ],
)
async def test_it_comes_to_what_the_interpreter_allows(
    tmp_path: Path, store: Implementation, tree: Tree
) -> None:
    ground = Ground(Server(store.url(tmp_path)), [tree])

    await ground.run()

    assert ground.faults() == "", f"\n{ground.faults()}"
    assert len(ground.plots["t0"].attempts) == len(calls_of(tree))


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("store", BUILT_IN, ids=lambda store: store.name)
async def test_chord_of_ten_thousand_members_takes_all_their_values_in_order(
    tmp_path: Path, store: Implementation
) -> None:
    server = Server(store.url(tmp_path))
    runs: Counter[int] = Counter()

    @server.task
    async def member(number: int) -> int:
        runs[number] += 1
        return number * number

    @server.task
    async def taken(values: list[int]) -> tuple[int, bool]:
        return len(values), values == [number * number for number in range(_MANY)]

    async with server, server.worker():
        value = await within((await chord(member.map(range(_MANY)), taken.p()).send()).get(), deadline=240)

    assert value == (_MANY, True)
    assert runs == Counter(range(_MANY))
    if store.check is not None:
        store.check(server.stores.urls[0], ended=True)


def test_they_are_as_long_and_as_deep_as_is_said() -> None:
    assert len(calls_of(long(1_000))) == 1_000
    assert depth(deep(50)) == 50
    assert written(deep(2)) == "Whole('chain', (Call('c1'), Whole('group', (Call('c'), Call('c0'),)),))"

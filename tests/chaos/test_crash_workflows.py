"""Workflows whose worker or sender dies at any moment of any store call.

An heir of the worker finishes all of them, each node once; of what was being sent all runs or nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.chaos.crashes import (
    MEMORY,
    ONE_REDIS,
    Pair,
    is_served,
    over_few_pairs,
    spared,
    survives_everywhere,
)
from tests.chaos.harvest import Harvest
from tests.chaos.lasting import brief_chord, late_member
from tests.chaos.orders import Order, Orders, long, mixed, wide
from tests.chaos.released import released_again
from tests.support.faults import Faults

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

POINTS, COALESCED = {"one store": 60, "two stores": 90}, 8
"""How many moments there are at least with each seed; fewer would mean that calls go by unseen.

Where a service keeps the time some calls may come together that are apart on a virtual clock.
"""

MANY, SOME, FEW = 20, 1, 2
"""Seeds of memory, of it where it is to be quick, and of stores that take their time."""


def over_seeds() -> list[ParameterSet]:
    """Return the parameters of tests over pairs and seeds, a test each."""
    return [
        pytest.param(
            *param.values,
            seed,
            id=f"{param.id} {seed}",
            marks=[
                *param.marks,
                *([pytest.mark.slow] if seed >= SOME else []),
            ],
        )
        for param in over_few_pairs()
        for seed in range(MANY if param.values[0] == MEMORY else FEW)
    ]


@pytest.mark.parametrize(("pair", "seed"), over_seeds())
async def test_worker_that_dies_at_any_moment_loses_and_doubles_no_node(
    pair: Pair, seed: int, tmp_path: Path
) -> None:
    least = POINTS["one store" if pair[0] is pair[1] else "two stores"]
    least -= COALESCED if is_served(pair) else 0

    await survives_everywhere(pair, lambda faults: Harvest(pair, tmp_path, seed).live(faults), least=least)


@pytest.mark.slow
@pytest.mark.parametrize("pair", over_few_pairs())
@pytest.mark.parametrize("made", [wide, long], ids=["a group", "a chain"])
async def test_of_what_a_dying_sender_sends_all_runs_or_nothing(
    pair: Pair, made: Callable[[int], Order], tmp_path: Path
) -> None:
    order = made(1_000)

    async def live(faults: Faults) -> None:
        # each step of a chain is a commit to the disk
        with spared(tmp_path) as folder:
            await Orders(pair, folder, order, at_once=False).live(faults)

    # the pages, and the opening of the whole
    await survives_everywhere(pair, live, least=2 * (5 + 1))


@pytest.mark.parametrize("pair", over_few_pairs())
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "later"])
async def test_what_a_dying_sender_sent_is_sent_again(pair: Pair, at_once: bool, tmp_path: Path) -> None:
    order = mixed()

    await survives_everywhere(
        pair,
        lambda faults: Orders(pair, tmp_path, order, at_once=at_once).live(faults),
        least=2 * (1 + 1),
        together=1,
    )


@pytest.mark.parametrize("pair", over_few_pairs())
async def test_values_are_there_for_the_callback_though_results_are_gone(pair: Pair, tmp_path: Path) -> None:
    await brief_chord(pair, tmp_path)


@pytest.mark.parametrize("pair", over_few_pairs())
async def test_who_joins_by_a_range_that_is_released_again_joins_once(pair: Pair, tmp_path: Path) -> None:
    await released_again(pair, tmp_path)


@pytest.mark.parametrize("pair", [*over_few_pairs(served=False), pytest.param(ONE_REDIS, id="redis+redis")])
async def test_late_member_does_not_bring_back_its_group(pair: Pair, tmp_path: Path) -> None:
    await late_member(pair, tmp_path)

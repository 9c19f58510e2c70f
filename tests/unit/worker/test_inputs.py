"""What a node takes: whole, or as a stream that is read a page at a time."""

from __future__ import annotations

from typing import Any

import pytest

from aioqueue.errors import BackendUnavailableError
from aioqueue.protocols.flow import Kind, Member
from aioqueue.worker import inputs
from aioqueue.worker.inputs import InputGoneError, taken
from tests.support.shelf import Shelf, value

pytestmark = pytest.mark.anyio

WIDE = 450


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "_PAUSES", (0.0, 0.0, 0.0))


def wide() -> Shelf:
    return Shelf(g=[value(n) for n in range(WIDE)])


async def test_values_of_a_group_are_a_list() -> None:
    shelf = wide()

    assert await taken(shelf.backend, "g") == list(range(WIDE))
    assert [first for first, _ in shelf.reads] == [0, 200, 400]


async def test_stream_reads_no_page_before_it_is_wanted() -> None:
    shelf = wide()
    stream = await taken(shelf.backend, "g", streamed=True)

    before = len(shelf.reads)
    half = [await anext(stream) for _ in range(201)]
    after = len(shelf.reads)

    assert (before, after) == (1, 2)
    assert [*half, *[found async for found in stream]] == list(range(WIDE))


async def test_stream_of_nothing_is_empty() -> None:
    stream = await taken(Shelf(g=[]).backend, "g", streamed=True)

    assert [found async for found in stream] == []


async def test_group_in_a_group_is_one_item_of_a_stream() -> None:
    shelf = Shelf(g=[Member(Kind.JOIN, b"inner"), value(3)], inner=[value(1), value(2)])

    stream = await taken(shelf.backend, "g", streamed=True)

    assert [found async for found in stream] == [[1, 2], 3]


@pytest.mark.parametrize("left", [None, [value(n) for n in range(200)], [*[value(1)] * 300, None]])
async def test_stream_whose_values_are_gone_says_so(left: list[Member | None] | None) -> None:
    shelf = wide()
    stream = await taken(shelf.backend, "g", streamed=True)
    if left is None:
        del shelf.joins["g"]
    else:
        shelf.joins["g"] = left

    with pytest.raises(InputGoneError, match="the values of 'g' are not kept any more"):
        [found async for found in stream]


async def test_value_that_was_never_there_is_gone() -> None:
    shelf = Shelf(g=[None], h=[Member(Kind.JOIN, b"inner")])

    for name in ("g", "h", "x"):
        with pytest.raises(InputGoneError, match=f"the values of '{name}' are not kept any more"):
            await taken(shelf.backend, name)


async def test_stream_outlives_a_store_that_is_away_for_a_moment() -> None:
    shelf = wide()
    stream: Any = await taken(shelf.backend, "g", streamed=True)
    shelf.away = 3

    assert [found async for found in stream] == list(range(WIDE))


async def test_stream_ends_with_the_error_of_a_store_that_stays_away() -> None:
    shelf = wide()
    stream: Any = await taken(shelf.backend, "g", streamed=True)
    shelf.away = 4

    with pytest.raises(BackendUnavailableError, match="the cable is out"):
        [found async for found in stream]


async def test_first_page_is_asked_for_once() -> None:
    shelf = wide()
    shelf.away = 1

    with pytest.raises(BackendUnavailableError):
        await taken(shelf.backend, "g", streamed=True)

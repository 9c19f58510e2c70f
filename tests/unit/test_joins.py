"""Watching a join: each member is told of once, and what is known is not read again."""

from __future__ import annotations

from typing import Any

import pytest

from aioqueue.codec import encode_error
from aioqueue.errors import ResultNotFoundError, ResultTimeoutError, TaskExpiredError
from aioqueue.joins import Watch, joined
from aioqueue.models.state import ErrorInfo, State
from aioqueue.models.stats import GroupCounts
from aioqueue.protocols.flow import Kind, Member
from tests.support.shelf import Shelf, value

pytestmark = pytest.mark.anyio


async def look(watch: Watch) -> list[tuple[int, Any]]:
    return [found async for found in watch.look()]


async def test_member_is_told_of_once() -> None:
    shelf = Shelf(g=[value(0), None, value(2)])
    watch = Watch(shelf.backend, "g")

    first = await look(watch)
    shelf.joins["g"][1] = value(1)
    second = await look(watch)

    assert first == [(0, 0), (2, 2)]
    assert second == [(1, 1)]
    assert (watch.size, watch.left) == (3, 0)


async def test_only_what_is_missing_is_read_again() -> None:
    shelf = Shelf(g=[value(n) if n not in (210, 215, 899) else None for n in range(1_000)])
    watch = Watch(shelf.backend, "g")

    await look(watch)
    all_of_it, shelf.reads = shelf.reads, []
    await look(watch)
    what_misses, shelf.reads = shelf.reads, []
    shelf.joins["g"] = [value(n) for n in range(1_000)]
    await look(watch)
    shelf.reads = []
    await look(watch)

    assert all_of_it == [(0, 200), (200, 200), (400, 200), (600, 200), (800, 200)]
    assert what_misses == [(210, 6), (899, 1)]
    assert shelf.reads == []


async def test_answers_that_are_shorter_than_a_page_are_read_on_from() -> None:
    shelf = Shelf(g=[value(n) for n in range(10)], most=3)

    assert await joined(shelf.backend, "g") == list(range(10))
    assert [first for first, _ in shelf.reads] == [0, 3, 6, 9]


async def test_join_among_the_members_is_the_list_of_its_values() -> None:
    error = Member(Kind.ERROR, encode_error(ErrorInfo(type="TaskExpiredError", message="late")))
    shelf = Shelf(g=[Member(Kind.JOIN, b"inner"), value(3)], inner=[value(1), error])

    (inner, three) = await joined(shelf.backend, "g")

    assert (inner[0], three) == (1, 3)
    assert isinstance(inner[1], TaskExpiredError)


async def test_join_of_nothing_has_no_members_and_none_is_missing() -> None:
    shelf = Shelf(g=[])
    watch = Watch(shelf.backend, "g")

    assert await look(watch) == []
    assert (watch.size, watch.left) == (0, 0)


async def test_what_is_not_kept_is_told() -> None:
    shelf = Shelf(g=[value(1), None])

    with pytest.raises(ResultNotFoundError, match="'x' are not kept any more"):
        await joined(shelf.backend, "x")
    with pytest.raises(ResultNotFoundError, match="'g' are not kept any more"):
        await joined(shelf.backend, "g")


async def test_two_looks_at_once_tell_of_a_member_once() -> None:
    shelf = Shelf(g=[value(0), value(1)])
    watch = Watch(shelf.backend, "g")
    one, other = watch.look(), watch.look()

    told = [await anext(one), await anext(other), *[found async for found in one]]

    assert told == [(0, 0), (1, 1)]


async def test_counts_read_only_what_is_not_known() -> None:
    error = Member(Kind.ERROR, encode_error(ErrorInfo(type="ValueError", message="no")))
    shelf = Shelf(g=[value(0), error, None])
    result = shelf.result("g")

    first = await result.counts()
    shelf.joins["g"][2] = value(2)
    second = await result.counts()

    assert first == GroupCounts(total=3, completed=1, failed=1)
    assert second == GroupCounts(total=3, completed=2, failed=1)
    assert shelf.reads == [(0, 200), (2, 1)]


async def test_waiting_looks_soon_and_then_less_often() -> None:
    shelf = Shelf(g=[None])

    with pytest.raises(ResultTimeoutError):
        await shelf.result("g").get(timeout=4)

    assert shelf.waits == pytest.approx([0, 0.05, 0.1, 0.2, 0.4, 0.8, 1, 1, 0.45])


async def test_group_that_has_ended_and_lacks_a_value_is_not_found() -> None:
    shelf = Shelf(g=[value(1), None])
    shelf.state = State.SUCCESS

    with pytest.raises(ResultNotFoundError, match="'g' are not kept any more"):
        await shelf.result("g").get()

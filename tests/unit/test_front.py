"""Front: which part of what is awaited waits for a worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from aioqueue.clock import SystemClock
from aioqueue.front import Front
from aioqueue.models.state import State
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.flow import PAGE
from aioqueue.protocols.messages import Record

pytestmark = pytest.mark.anyio


class Shelf:
    """Records by their ids, as a backend gives them. pages: how often it was asked."""

    def __init__(self, *records: Record) -> None:
        self._records = {record.id: record for record in records}
        self.pages = 0

    async def get(self, ids: Sequence[str]) -> list[Record | None]:
        self.pages += 1
        return [self._records.get(id) for id in ids]


def front(shelf: Shelf) -> Front:
    """Return the front of what is on *shelf*."""
    return Front(cast("Backend", shelf), SystemClock())


def record(
    id: str, state: State = State.PENDING, *, due: float | None = 1.0, plan: str | None = None
) -> Record:
    """Return a record that is due long since, unless told otherwise."""
    return Record(id, "add", "q", state, due=due, plan=plan)


def wide(ended: int, of: int) -> list[Record]:
    """Return the nodes of ``w``, of which *ended* have."""
    return [record(f"w.{n}", State.SUCCESS if n < ended else State.PENDING) for n in range(of)]


async def test_task_that_is_due_waits() -> None:
    one = record("1")
    assert await front(Shelf()).waiting(one, whole=False) is one


@pytest.mark.parametrize(
    "one", [record("1", State.STARTED), record("1", State.RETRY, due=9e12), record("1", due=9e12)]
)
async def test_what_runs_or_waits_for_its_moment_does_not(one: Record) -> None:
    assert await front(Shelf()).waiting(one, whole=False) is None


async def test_attempt_that_is_due_again_waits() -> None:
    one = record("1", State.RETRY)
    assert await front(Shelf()).waiting(one, whole=False) is one


async def test_nodes_behind_the_first_page_are_looked_at_and_those_that_have_ended_are_read_once() -> None:
    shelf = Shelf(*wide(ended=2 * PAGE + 3, of=2 * PAGE + 10))
    looked = front(shelf)
    whole = Record("w.999", "group", "", State.PENDING)

    first = await looked.waiting(whole, whole=True)
    asked = shelf.pages
    again = await looked.waiting(whole, whole=True)

    assert first is not None
    assert first.id == f"w.{2 * PAGE + 3}"
    assert again == first
    assert (asked, shelf.pages - asked) == (3, 1)


async def test_what_a_task_goes_on_as_is_looked_at() -> None:
    gone_on = record("1", State.STARTED, plan="w")
    found = await front(Shelf(*wide(ended=1, of=2))).waiting(gone_on, whole=False)
    assert found is not None
    assert found.id == "w.1"


async def test_what_runs_in_the_place_of_a_node_moves() -> None:
    shelf = Shelf(record("w.0", State.STARTED, plan="v"), record("w.1"), record("v.0", State.STARTED))
    assert await front(shelf).waiting(Record("w.9", "chain", ""), whole=True) is None


async def test_nodes_whose_release_waits_itself_wait() -> None:
    shelf = Shelf(record("w.0", State.SUCCESS), record("w.1", due=None))
    found = await front(shelf).waiting(Record("w.9", "chain", ""), whole=True)
    assert found is not None
    assert found.id == "w.1"


async def test_nodes_behind_one_that_waits_for_its_moment_do_not() -> None:
    shelf = Shelf(record("w.0", due=9e12), record("w.1", due=None))
    assert await front(shelf).waiting(Record("w.9", "chain", ""), whole=True) is None

"""How ranges are paged, and what a workflow says of an ending that says nothing."""

from __future__ import annotations

import pytest

from aioqueue.advance import numbered, openers, paged, rest_of
from aioqueue.protocols.flow import OPEN, PAGE, Range
from aioqueue.protocols.messages import Message

FIRST = Message("w.200", "add", "q", b"", priority=3)


def test_a_range_is_paged_from_its_first_node() -> None:
    assert paged(Range(7, PAGE + 1)) == (Range(7, PAGE), Range(7 + PAGE, 1))
    assert paged(Range(7, PAGE)) == (Range(7, PAGE), Range(7 + PAGE, 0))


def test_opener_stands_for_the_rest_of_a_range() -> None:
    (message,) = openers("a.b", Range(200, 801), FIRST)

    assert message == Message("a.b.open.200", OPEN, "q", b"200 801", priority=3, tracked=False)
    assert rest_of(message) == ("a.b", Range(200, 801))


@pytest.mark.parametrize(
    "body", [b"", b"1", b"1 x", b"\xff 1", b"-1 2", "\N{SUPERSCRIPT ONE} 2".encode(), b"1 2 3"]
)
def test_opener_that_says_nothing_of_sense_stands_for_nothing(body: bytes) -> None:
    assert rest_of(Message("w.open.1", OPEN, "q", body)) == ("w", Range())


@pytest.mark.parametrize(("id", "found"), [("w.0", ("w", 0)), ("a.b.12", ("a.b", 12))])
def test_id_of_a_node_has_a_workflow_and_a_number(id: str, found: tuple[str, int]) -> None:
    assert numbered(id) == found


@pytest.mark.parametrize(
    "id", ["", "w", "w.", ".1", "w.s1", "w.01", "w.-1", "w.\N{SUPERSCRIPT ONE}", "w.1234567890"]
)
def test_other_ids_have_none(id: str) -> None:
    assert numbered(id) is None

"""Ids and names."""

from __future__ import annotations

import uuid

import pytest

from aioqueue.ids import derived_id, is_name, new_id, new_ids


def test_id_is_a_uuid_of_version_seven_and_later_ones_sort_behind() -> None:
    ids = [*(new_id() for _ in range(1_000)), *new_ids(1_000)]

    assert {uuid.UUID(id).version for id in ids} == {7}
    assert {uuid.UUID(id).variant for id in ids} == {uuid.RFC_4122}
    assert len(set(ids)) == 2_000
    assert [id[:12] for id in ids] == sorted(id[:12] for id in ids)


def test_no_ids_are_made_where_none_is_wanted() -> None:
    assert new_ids(0) == []


def test_derived_id_is_the_same_each_time_and_never_too_long() -> None:
    assert derived_id("a", "s0") == "a.s0"
    long = derived_id("x" * 128, "s0")
    assert long == derived_id("x" * 128, "s0")
    assert is_name(long)
    assert long != derived_id("x" * 128, "s1")


@pytest.mark.parametrize("text", ["a", "mail.send", "a/b:c@d-e_f", "9", "x" * 128])
def test_names_that_may_be(text: str) -> None:
    assert is_name(text)


@pytest.mark.parametrize("text", ["", "x" * 129, "a b", "{a}", "a\n", ".a", "ä", "a*"])
def test_names_that_may_not_be(text: str) -> None:
    assert not is_name(text)

"""The summary has a line a test, with the moments of each pair it is over."""

from __future__ import annotations

from tests.support.moments import summary


def test_moments_of_all_seeds_of_a_pair_are_told_together() -> None:
    passed = [
        ("tests/chaos/test_a.py::test_dies[memory 0]", "70 moments\n"),
        ("tests/chaos/test_a.py::test_dies[memory 1]", "something else\n72 moments\n"),
        ("tests/chaos/test_a.py::test_dies[redis+sqlite]", "95 moments\n"),
        ("tests/chaos/test_a.py::test_sends[memory-at once]", "4 moments\n"),
        ("tests/chaos/test_b.py::test_other[1]", "a page of 3 moments\n"),
        ("tests/chaos/test_b.py::test_other", ""),
    ]

    assert summary(passed) == [
        "test_dies: memory 70 to 72 x 2, redis+sqlite 95",
        "test_sends: memory-at once 4",
    ]

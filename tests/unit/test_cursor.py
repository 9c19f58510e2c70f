"""Cursors come back as the numbers they were made of, and nothing else is one."""

from __future__ import annotations

import pytest

from aioqueue.cursor import cursor, numbers_of
from aioqueue.errors import ConfigurationError


@pytest.mark.parametrize("numbers", [(-9, 17), (0, 0), (1732952345.123456, 5), (1e16, 1)])
def test_numbers_come_back(numbers: tuple[float, float]) -> None:
    assert numbers_of(cursor(*numbers), 2) == list(numbers)


def test_no_cursor_is_the_start() -> None:
    assert numbers_of(None, 2) is None


@pytest.mark.parametrize("text", ["", "1", "1:2:3", "1:x", "nan:1", "inf:1", " 1:2", "1:2\n"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is no cursor of this listing"):
        numbers_of(text, 2)

"""Cursors: where the next page of a listing begins, as text that only the listing reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from aioqueue.errors import ConfigurationError

_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")


def cursor(*numbers: float) -> str:
    """Return the cursor that stands behind an entry at these numbers."""
    return ":".join(map(repr, numbers))


def numbers_of(after: str | None, count: int) -> Sequence[float] | None:
    """Return the numbers of a cursor; None at the start. Raises ConfigurationError."""
    if after is None:
        return None
    parts = after.split(":")
    if len(parts) != count or not all(map(_NUMBER.fullmatch, parts)):
        raise no_cursor(after)
    return [int(part) if part.lstrip("-").isdigit() else float(part) for part in parts]


def no_cursor(after: str) -> ConfigurationError:
    """Return the error of a text that is no cursor."""
    return ConfigurationError(f"{after!r} is no cursor of this listing; hand on the `next` of its last page")

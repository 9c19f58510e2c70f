"""Identifiers: task ids, and what names may look like.

Ids are UUIDs of version 7 (RFC 9562) in hex: they sort by the moment they were made, so that
a B-tree of them grows at one end.
"""

from __future__ import annotations

import hashlib
import os
import re
import time

NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._:/@\-]{0,127}$"
RESERVED = "aioqueue."
"""How names begin that no task may have: messages of the stores' own have them."""

_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
_NAME = re.compile(NAME_PATTERN)


def new_id() -> str:
    """Return a fresh id: 32 hex digits."""
    return new_ids(1)[0]


def new_ids(count: int) -> list[str]:
    """Return as many fresh ids, all of one moment."""
    moment = f"{time.time_ns() // 1_000_000:012x}7"
    random = os.urandom(10 * count).hex()
    # the version stands after the moment; of the 17th digit the first two bits are the variant
    return [
        f"{moment}{random[at : at + 3]}{_VARIANT[random[at + 3]]}{random[at + 4 : at + 19]}"
        for at in range(0, 20 * count, 20)
    ]


def is_name(text: str) -> bool:
    """Tell whether *text* can name a task, a queue or an id: 1 to 128 of ``A-Za-z0-9._:/@-``."""
    return _NAME.fullmatch(text) is not None


def derived_id(owner: str, suffix: str) -> str:
    """Return the id of what *owner* releases: the same one each time it is asked for."""
    id = f"{owner}.{suffix}"
    return id if len(id) <= 128 else hashlib.sha256(id.encode()).hexdigest()[:32]

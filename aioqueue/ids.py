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

_NAME = re.compile(NAME_PATTERN)


def new_id() -> str:
    """Return a fresh id: 32 hex digits."""
    random = bytearray(os.urandom(10))
    random[0] = 0x70 | random[0] & 0x0F
    random[2] = 0x80 | random[2] & 0x3F
    return f"{time.time_ns() // 1_000_000:012x}{random.hex()}"


def is_name(text: str) -> bool:
    """Tell whether *text* can name a task, a queue or an id: 1 to 128 of ``A-Za-z0-9._:/@-``."""
    return _NAME.fullmatch(text) is not None


def derived_id(owner: str, suffix: str) -> str:
    """Return the id of what *owner* releases: the same one each time it is asked for."""
    id = f"{owner}.{suffix}"
    return id if len(id) <= 128 else hashlib.sha256(id.encode()).hexdigest()[:32]

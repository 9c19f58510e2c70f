"""JSON values: what crosses the wire unchanged."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

_DEPTH: Final = 100


def json_fault(value: object, depth: int = 0) -> str | None:
    """Return why *value* would not survive a JSON round trip unchanged, or None."""
    if type(value) is int:
        return None if -(2**63) <= value < 2**64 else "an integer of more than 64 bits"
    check = _CHECKS.get(type(value))
    if check is None:
        return f"{type(value).__name__} is not a JSON value; annotate it with its type"
    return check(value, depth)


def _none(value: Any, depth: int) -> str | None:
    return None


def _str(value: str, depth: int) -> str | None:
    try:
        value.encode()
    except UnicodeEncodeError:
        return "a string that is no Unicode text"
    return None


def _float(value: float, depth: int) -> str | None:
    return None if math.isfinite(value) else f"{value} is not a JSON number"


def _list(value: list[Any], depth: int) -> str | None:
    if depth > _DEPTH:
        return "it is nested too deeply"
    return next((fault for item in value if (fault := json_fault(item, depth + 1))), None)


def _dict(value: dict[Any, Any], depth: int) -> str | None:
    for key in value:
        if type(key) is not str:
            return f"a key is {type(key).__name__}, not str; annotate it with its type"
    return _list([*value, *value.values()], depth)


_CHECKS: Final[dict[type, Callable[[Any, int], str | None]]] = {
    type(None): _none,
    bool: _none,
    str: _str,
    float: _float,
    list: _list,
    dict: _dict,
}

"""Weights: ``high:5`` is the queue ``high`` with weight 5. Pure.

A queue whose own name ends so is written with its weight: ``shard:5:1``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_SPEC: Final = re.compile(r"(.*):([-+]?[\d.]+)")
_MOST: Final = 1000


def listed(value: object) -> object:
    """Return the names in a text with commas; anything else as it is."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def weighed(specs: Iterable[str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return names of queues, and their weights; no weights where none is given. Raises ValueError."""
    weights: dict[str, int | None] = {}
    for spec in specs:
        name, weight = _read(spec)
        if name in weights and not (weight is None and weights[name] is None):
            raise ValueError(f"queue {name!r} is named twice, and has one weight")
        weights[name] = weight
    if all(weight is None for weight in weights.values()):
        return tuple(weights), ()
    return tuple(weights), tuple(1 if weight is None else weight for weight in weights.values())


def plain(name: str) -> str:
    """Return how a queue of that very name is written where weights may stand."""
    return name if _SPEC.fullmatch(name) is None else f"{name}:1"


def _read(spec: str) -> tuple[str, int | None]:
    found = _SPEC.fullmatch(spec)
    if found is None:
        return spec, None
    name, weight = found[1], found[2]
    if not weight.isascii() or not weight.isdigit() or not 1 <= int(weight) <= _MOST:
        raise ValueError(
            f"{spec!r}: a weight is a whole number from 1 to {_MOST}, as {name or 'high'}:5; "
            f"a queue of that very name is written {spec}:1"
        )
    return name, int(weight)

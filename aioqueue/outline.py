"""Outline: how the nodes of a workflow stand, as it is kept with the workflow for people to read.

An outline is ``[kind, part, …]``, a part being the number of a node, such a list, or the numbers of
nodes in a row as text: ``"4-9"``. Callbacks of a whole, of the kinds in CALLBACKS, are its last parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

from aioqueue import codec
from aioqueue.protocols.flow import Whole

Outline = list[Any]

CALLBACKS: Final = ("on_success", "on_error")


def brief(outline: Outline) -> Outline:
    """Return *outline* with the nodes that stand in a row as text, and callbacks last."""
    made: Outline = []
    # it was written down in the order of releases, in which a failure comes before a second step
    for part in sorted(outline, key=_is_callback):
        inner = brief(cast("Outline", part)) if isinstance(part, list) else part
        row = row_of(made[-1]) if made else range(0)
        if isinstance(inner, int) and row and inner == row.stop:
            made[-1] = f"{row.start}-{inner}"
        else:
            made.append(inner)
    return made


def _is_callback(part: Any) -> bool:
    return isinstance(part, list) and cast("Outline", part)[0] in CALLBACKS


def row_of(part: Any) -> range:
    """Return the numbers that a part stands for, if it is no list."""
    if isinstance(part, int):
        return range(part, part + 1)
    first, dash, last = part.partition("-") if isinstance(part, str) else ("", "", "")
    return range(int(first), int(last) + 1) if dash and first.isdigit() else range(0)


def outline_of(whole: Whole) -> Outline:
    """Return the outline of a workflow."""
    return cast("Outline", codec.decode_value(whole.outline))


def nodes_of(workflow: str, outline: Outline) -> Iterator[str]:
    """Yield the ids of all nodes."""
    for part in outline:
        if isinstance(part, list):
            yield from nodes_of(workflow, cast("Outline", part))
        else:
            yield from (f"{workflow}.{number}" for number in row_of(part))

"""What is stored of a workflow grows as the workflow does, and no faster."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aioqueue import Signature
from aioqueue.canvas import compiled
from aioqueue.packing import Packer
from aioqueue.protocols.messages import Message
from tests.support.forest import built
from tests.support.trees import Call, Kind, Tree, Whole, deep, long, wide

PACKER = Packer("default", max_payload=1_048_576)


def size(tree: Tree) -> int:
    """Return the bytes of a plan, with the bodies of its messages."""

    def pack(call: Signature, id: str, source: str | None) -> Message:
        return PACKER.message(call, id=id, now=0.0, takes_from=source)

    return len(repr(compiled(built(tree, "t"), id="w", pack=pack)).encode())


def chord(width: int) -> Tree:
    """Return a chord of so many members."""
    return Whole("collect", (wide(width), Call("callback")))


def told(depth: int) -> Tree:
    """Return wholes within wholes, so many deep, each with callbacks of its own."""
    tree: Tree = Call("c")
    for level in range(depth):
        kind: Kind = "group" if level % 2 else "chain"
        tree = Whole(kind, (tree,), on_success=Call(f"s{level}"), on_error=Call(f"e{level}"))
    return tree


@pytest.mark.parametrize(
    ("shape", "count"),
    [
        (long, 10),
        (long, 1_000),
        (wide, 10),
        (wide, 1_000),
        (chord, 1_000),
        (deep, 10),
        (deep, 50),
        (told, 50),
    ],
)
def test_twice_the_workflow_has_twice_the_bytes(shape: Callable[[int], Tree], count: int) -> None:
    assert size(shape(2 * count)) <= 2.2 * size(shape(count))

"""Workflows as plain data, for tests that say what one comes to without the code that runs it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any, Literal

Does = Literal["text", "list", "null", "retry", "exhaust", "fail"]
Kind = Literal["chain", "group", "fail_fast", "collect"]

_READABLE = 100


@dataclass(frozen=True, slots=True)
class Call:
    """One call. label: its own in its tree. takes: the value before it, if there is one.

    does: ``retry`` fails once, ``exhaust`` once and then for good, ``fail`` at once; the others name the
    kind of its value. returns: what goes on in its place.
    """

    label: str
    does: Does = "text"
    takes: bool = True
    returns: Call | Whole | None = None


@dataclass(frozen=True, slots=True)
class Whole:
    """A workflow. parts: the steps of a chain, the members of a group, the group and the callback of a chord.

    kind: of a chord, what it makes of errors. on_success, on_error: callbacks of the whole.
    """

    kind: Kind
    parts: tuple[Call | Whole, ...]
    on_success: Call | Whole | None = None
    on_error: Call | Whole | None = None


Tree = Call | Whole


def made(label: str, does: str, taken: str | None) -> Any:
    """Return the value of a call that took *taken*, which is JSON, or None for nothing."""
    text = f"{label}({taken or ''})"
    if len(text) > _READABLE:
        text = f"{label}#{sha256(text.encode()).hexdigest()[:16]}"
    return {"null": None, "list": [text]}.get(does, text)


def walk(tree: Tree) -> Iterator[Tree]:
    """Yield *tree* and all that is in it, returned and called back."""
    yield tree
    inner = (tree.returns,) if isinstance(tree, Call) else (*tree.parts, tree.on_success, tree.on_error)
    for part in inner:
        if part is not None:
            yield from walk(part)


def calls_of(tree: Tree) -> list[Call]:
    """Return all calls in *tree*, returned and called back."""
    return [part for part in walk(tree) if isinstance(part, Call)]


def depth(tree: Tree) -> int:
    """Return how many workflows are within each other, as they are sent."""
    if isinstance(tree, Call):
        return 0
    return 1 + max(map(depth, tree.parts), default=0)


def written(tree: Tree) -> str:
    """Return *tree* as it is written in a test."""
    if isinstance(tree, Call):
        said = [repr(tree.label)]
    else:
        said = [repr(tree.kind), f"({' '.join(f'{written(part)},' for part in tree.parts)})"]
    for field in fields(tree)[len(said) :]:
        value: object = getattr(tree, field.name)
        if value != field.default:
            said.append(f"{field.name}={written(value) if isinstance(value, Call | Whole) else repr(value)}")
    return f"{type(tree).__name__}({', '.join(said)})"


def long(steps: int) -> Tree:
    """Return a chain of so many steps."""
    return Whole("chain", tuple(Call(f"c{number}") for number in range(steps)))


def wide(members: int) -> Tree:
    """Return a group of so many members."""
    return Whole("group", tuple(Call(f"c{number}") for number in range(members)))


def deep(levels: int) -> Tree:
    """Return a group in a chain in a group and so on, so many in each other."""
    tree: Tree = Call("c")
    for level in range(levels):
        beside = Call(f"c{level}")
        tree = Whole("chain", (beside, tree)) if level % 2 else Whole("group", (tree, beside))
    return tree

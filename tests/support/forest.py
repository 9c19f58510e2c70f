"""Random workflows: hypothesis grows them as plain data, and they are written down as calls of one task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random
from typing import Any, Final, cast

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from aioqueue import Chain, Chord, Group, RetryPolicy, Signature
from tests.support.trees import Call, Does, Kind, Tree, Whole, calls_of, depth, walk

DEEPEST: Final = 4
FEWEST: Final = 3
MOST: Final = 60
"""Calls in a tree."""

_WANTED: Final = 40
_ODD: Final[tuple[Does, ...]] = ("list", "null", "retry", "exhaust", "fail")
_ONCE_MORE: Final = RetryPolicy(max_retries=1, backoff="constant", delay=0.0, jitter=False)


@dataclass(slots=True)
class _Gardener:
    """Grows one tree. returning: percent of its calls that return a workflow."""

    random: Random
    returning: int
    calls: int = 0

    def tree(self, deep: int) -> Tree:
        """Return a call, or a workflow at most so deep."""
        if deep < 1 or self.calls >= _WANTED:
            return self.call(deep)
        kinds = ["chain", "group"] + ["fail_fast", "collect"] * (deep > 1) + ["call"] * (deep < DEEPEST)
        match self.random.choice(kinds):
            case "chain":
                return self.whole("chain", *self.parts(deep, least=1))
            case "group":
                return self.whole("group", *self.parts(deep))
            case "fail_fast":
                return self.whole(
                    "fail_fast", self.whole("group", *self.parts(deep - 1)), self.tree(deep - 1)
                )
            case "collect":
                # a group in which errors are values cannot fail
                members = replace(self.whole("group", *self.parts(deep - 1)), on_error=None)
                return self.whole("collect", members, self.tree(deep - 1))
            case _:
                return self.call(deep)

    def parts(self, deep: int, least: int = 0) -> list[Tree]:
        return [self.tree(deep - 1) for _ in range(self.random.randint(least, 4))]

    def whole(self, kind: Kind, *parts: Tree) -> Whole:
        told, warned = (self.callback() if self.chance(5) else None for _ in range(2))
        return Whole(kind, parts, told, warned)

    def callback(self) -> Tree:
        return self.tree(2) if self.chance(40) and self.calls < _WANTED else self.plain()

    def plain(self) -> Call:
        self.calls += 1
        return Call(f"c{self.calls}", takes=not self.chance(20))

    def call(self, deep: int) -> Call:
        call = self.plain()
        if self.chance(self.returning):
            return replace(call, returns=self.tree(max(1, deep - 1)))
        return replace(call, does=self.random.choice(_ODD)) if self.chance(20) else call

    def chance(self, percent: int) -> bool:
        return self.random.random() * 100 < percent


def trees(returning: int = 0) -> st.SearchStrategy[Tree]:
    """Return trees at most DEEPEST deep. returning: percent of their calls that return a workflow."""
    # of seeds, as what hypothesis draws itself is much alike
    seeds = st.randoms(use_true_random=True)
    return seeds.map(lambda random: _Gardener(random, returning).tree(DEEPEST))


@cache
def forest(count: int, returning: int = 0) -> tuple[Tree, ...]:
    """Return *count* different trees, the same ones in every run."""
    grown: dict[Tree, None] = {}

    @settings(max_examples=2 * count, derandomize=True, phases=[Phase.generate], database=None)
    @given(trees(returning))
    def grow(tree: Tree) -> None:
        if len(grown) < count and FEWEST <= len(calls_of(tree)) <= MOST:
            grown[tree] = None

    grow()
    assert len(grown) == count
    return tuple(grown)


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of a forest, from 0 to 1."""

    deep: float
    failing: float
    returning: float
    empty: float
    retrying: float
    called_back: float
    calling: float
    calls: float = field(compare=False, default=0.0)

    @classmethod
    def of(cls, trees: Sequence[Tree]) -> Mix:
        """Return the shares of *trees* that are 3 deep, that have a failing call, and so on."""

        def share(told: Sequence[bool]) -> float:
            return sum(told) / len(trees)

        calls = [calls_of(tree) for tree in trees]
        wholes = [[part for part in walk(tree) if isinstance(part, Whole)] for tree in trees]
        return cls(
            deep=share([depth(tree) >= 3 for tree in trees]),
            failing=share([any(call.does in ("fail", "exhaust") for call in of) for of in calls]),
            returning=share([any(call.returns is not None for call in of) for of in calls]),
            empty=share([not all(whole.parts for whole in of) for of in wholes]),
            retrying=share([any(call.does == "retry" for call in of) for of in calls]),
            called_back=share([any(whole.on_success or whole.on_error for whole in of) for of in wholes]),
            calling=share([any(isinstance(call, Whole) for call in _callbacks(of)) for of in wholes]),
            calls=sum(map(len, calls)) / len(trees),
        )


def _callbacks(wholes: Sequence[Whole]) -> list[Tree | None]:
    return [call for whole in wholes for call in (whole.on_success, whole.on_error)]


def built(tree: Tree, key: str, *, follows: bool = False) -> Signature[Any]:
    """Return *tree* as calls of the task ``act(key, label, does, *taken)``. follows: a value comes before."""
    if isinstance(tree, Call):
        return Signature[Any](
            name="act",
            args=(key, tree.label, tree.does),
            # what is written by hand takes what there is
            takes=("last" if follows else None) if tree.takes else "none",
            retry=_ONCE_MORE if tree.does in ("retry", "exhaust") else None,
        )
    parts = [
        built(part, key, follows=follows or (at > 0 and tree.kind != "group"))
        for at, part in enumerate(tree.parts)
    ]
    whole: Signature[Any]
    match tree.kind:
        case "chain":
            whole = Chain[Any](steps=parts)
        case "group":
            whole = Group[Any](members=parts)
        case _:
            whole = Chord[Any](group=cast(Group[Any], parts[0]), callback=parts[1], errors=tree.kind)
    told, warned = (
        () if call is None else (built(call, key, follows=True),) for call in (tree.on_success, tree.on_error)
    )
    return whole.options(on_success=told, on_error=warned) if told or warned else whole

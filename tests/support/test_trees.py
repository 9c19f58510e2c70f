"""Trees are written as they are read, and grown as is asked for."""

from __future__ import annotations

from typing import Any

from aioqueue import Chain, Chord, Group
from tests.support.forest import DEEPEST, MOST, Mix, built, forest
from tests.support.trees import Call, Whole, calls_of, depth, written


def test_what_is_written_is_the_tree_again() -> None:
    grown = forest(20, returning=10)

    assert [eval(written(tree), {"Call": Call, "Whole": Whole}) for tree in grown] == list(grown)


def test_a_forest_is_of_different_trees_and_always_the_same_ones() -> None:
    grown = forest(50)
    forest.cache_clear()

    assert len(set(grown)) == 50
    assert forest(50) == grown


def test_trees_have_the_size_that_is_said() -> None:
    grown = forest(200, returning=3)

    assert max(map(depth, grown)) == DEEPEST
    assert 30 < max(len(calls_of(tree)) for tree in grown) <= MOST


def test_the_share_of_trees_that_return_a_workflow_is_asked_for() -> None:
    assert Mix.of(forest(100)).returning == 0
    assert Mix.of(forest(100, returning=2)).returning >= 0.1
    assert Mix.of(forest(100, returning=8)).returning >= 0.4


def test_a_mix_tells_what_there_is() -> None:
    deep = Whole("chain", (Whole("group", (Whole("group", ()),)),), on_error=Call("e"))
    odd = Whole("group", (Call("a", does="retry"), Call("b", does="exhaust"), Call("c", returns=Call("d"))))

    assert Mix.of([deep, odd]) == Mix(0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.0)


def test_a_tree_is_built_as_it_is_written() -> None:
    def call(label: str, takes: Any) -> Any:
        return built(Call(label), "key").model_copy(update={"takes": takes})

    tree = Whole(
        "chain", (Whole("collect", (Whole("group", (Call("a"),)), Call("b"))), Call("c", takes=False))
    )
    chord: Chord[Any] = Chord(
        group=Group[Any](members=[call("a", None)]), callback=call("b", "last"), errors="collect"
    )

    assert built(tree, "key") == Chain[Any](steps=[chord, call("c", "none")])
    assert built(Call("a"), "key").args == ("key", "a", "text")

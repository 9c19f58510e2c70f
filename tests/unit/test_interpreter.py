"""The reference interpreter, on workflows whose outcome a person can tell."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.interpreter import Outcome, read
from tests.support.trees import Call, Tree, Whole, made, written

A, B, C = (Call(label) for label in "abc")
ALONE = Call("x", takes=False)
NO, NEITHER = Call("no", does="fail"), Call("neither", does="exhaust")
NOBODY = Whole("group", ())


def chain(*steps: Tree, **callbacks: Any) -> Whole:
    return Whole("chain", steps, **callbacks)


def group(*members: Tree, **callbacks: Any) -> Whole:
    return Whole("group", members, **callbacks)


def chord(members: Tree, callback: Tree, **callbacks: Any) -> Whole:
    return Whole("fail_fast", (members, callback), **callbacks)


def collect(members: Tree, callback: Tree, **callbacks: Any) -> Whole:
    return Whole("collect", (members, callback), **callbacks)


def value(data: str) -> set[Outcome]:
    return {("value", data)}


def text(label: str, taken: str) -> set[Outcome]:
    """Return what a call comes to that took *taken*."""
    return value(json.dumps(made(label, "text", taken)))


def errors(*labels: str) -> set[Outcome]:
    return {("error", label) for label in labels}


@pytest.mark.parametrize(
    ("tree", "data"),
    [
        (A, '"a()"'),
        (Call("a", does="list"), '["a()"]'),
        (Call("a", does="null"), "null"),
        (Call("a", does="retry"), '"a()"'),
        (chain(A, ALONE), '"x()"'),
        (chain(A, Call("b", does="null"), C), '"c(null)"'),
        (chain(A, chain(ALONE, B)), '"b(\\"x()\\")"'),
        (group(A, B), '["a()", "b()"]'),
        (group(group(A), B, NOBODY), '[["a()"], "b()", []]'),
        (NOBODY, "[]"),
        (chain(A, NOBODY), "[]"),
        (chain(A, NOBODY, B), '"b([])"'),
        (chord(NOBODY, A), '"a([])"'),
        (chord(group(NOBODY, NOBODY), A), '"a([[], []])"'),
        (collect(NOBODY, A), '"a([])"'),
        (chord(group(ALONE), ALONE), '"x()"'),
        (chord(NOBODY, group(A, B)), '["a([])", "b([])"]'),
        (chord(NOBODY, NOBODY), "[]"),
    ],
)
def test_what_goes_well_has_one_value(tree: Tree, data: str) -> None:
    assert read(tree).outcomes == value(data)


def test_a_partial_call_takes_the_value_before_it() -> None:
    assert read(chain(A, B)).outcomes == text("b", '"a()"')


def test_a_group_behind_a_step_gives_its_value_to_each_member_that_takes() -> None:
    tree = chain(Call("a", does="null"), group(B, ALONE, chain(C, A), NOBODY))

    assert read(tree).outcomes == value('["b(null)", "x()", "a(\\"c(null)\\")", []]')


def test_the_group_of_a_chord_behind_a_step_does_so_too() -> None:
    tree = chain(Call("a", does="null"), chord(group(B, ALONE), C))

    assert read(tree).outcomes == value('"c([\\"b(null)\\", \\"x()\\"])"')


@pytest.mark.parametrize("does", ["fail", "exhaust"])
def test_a_failed_step_fails_the_chain_and_nothing_after_it_runs(does: Any) -> None:
    reading = read(chain(A, Call("no", does=does), B))

    assert reading.outcomes == errors("no")
    assert reading.sure == reading.maybe == {"a", "no"}


def test_of_a_plain_group_any_failure_may_be_told_and_all_members_run() -> None:
    reading = read(group(A, NO, chain(NEITHER, B)))

    assert reading.outcomes == errors("no", "neither")
    assert reading.sure == reading.maybe == {"a", "no", "neither"}


@pytest.mark.parametrize(
    "tree",
    [
        group(group(A, NO), group(NEITHER)),
        chain(ALONE, group(A, NO, NEITHER)),
        chord(group(ALONE), group(A, NO, NEITHER)),
    ],
    ids=written,
)
def test_a_group_that_nothing_follows_is_plain_wherever_it_stands(tree: Tree) -> None:
    reading = read(tree)

    assert reading.outcomes == errors("no", "neither")
    assert reading.sure == reading.maybe >= {"a", "no", "neither"}


@pytest.mark.parametrize(
    "whole",
    [
        chord(group(A, NO, NEITHER), B),
        chain(group(A, NO, NEITHER), B),
        chain(group(A, group(NO), group(NEITHER)), B),
        chain(group(chain(A, group(NO, NEITHER))), B),
    ],
    ids=written,
)
def test_a_group_that_something_follows_fails_with_its_first_failure(whole: Tree) -> None:
    reading = read(whole)

    assert reading.outcomes == errors("no", "neither")
    assert not reading.sure & {"no", "neither", "b"}
    assert reading.maybe == {"a", "no", "neither"}


def test_the_only_member_that_fails_has_run_and_so_has_what_came_before_it() -> None:
    reading = read(chord(group(A, chain(B, NO, C)), ALONE))

    assert reading.outcomes == errors("no")
    assert reading.sure == {"b", "no"}
    assert reading.maybe == {"a", "b", "no"}


def test_a_chord_that_collects_has_errors_among_the_values() -> None:
    reading = read(collect(group(A, NO, chain(NEITHER, ALONE)), B))

    assert reading.outcomes == text("b", '["a()", {"error": "no"}, {"error": "neither"}]')
    assert reading.sure == {"a", "no", "neither", "b"}


def test_a_group_in_a_chord_that_collects_is_one_error() -> None:
    reading = read(collect(group(group(A, NO, NEITHER)), B))

    assert reading.outcomes == text("b", '[{"error": "no"}]') | text("b", '[{"error": "neither"}]')
    assert reading.sure == {"b"}


def test_whoever_takes_one_of_several_values_takes_the_same_as_those_beside_it() -> None:
    either = collect(group(group(NO, NEITHER)), Call("c", does="list"))

    outcomes = read(chain(either, group(A, B))).outcomes

    assert len(outcomes) == 2
    assert all(
        ("no" in str(values)) != ("neither" in str(values)) and str(values).count("error") == 2
        for _, values in outcomes
    )


def test_a_chord_that_collects_fails_with_its_callback() -> None:
    assert read(collect(group(NEITHER), NO)).outcomes == errors("no")


def test_a_call_that_returns_a_workflow_comes_to_what_that_comes_to() -> None:
    returning = Call("a", returns=chain(B, C))
    reading = read(chain(ALONE, returning, Call("d")))

    assert reading.outcomes == text("d", '"c(\\"b()\\")"')
    assert reading.sure == {"x", "a", "b", "c", "d"}


def test_a_group_that_is_returned_fails_as_a_whole() -> None:
    reading = read(Call("a", returns=group(B, NO, NEITHER)))

    assert reading.outcomes == errors("no", "neither")
    assert reading.sure == {"a"}
    assert reading.maybe == {"a", "b", "no", "neither"}


def test_callbacks_make_a_group_one_whole_and_one_of_them_runs() -> None:
    told, warned = Call("told"), Call("warned")
    well = read(group(A, B, on_success=told, on_error=warned))
    badly = read(group(A, NO, on_success=told, on_error=warned))

    assert well.outcomes == value('["a()", "b()"]')
    assert well.maybe == {"a", "b", "told"}
    assert badly.outcomes == errors("no")
    assert badly.sure == {"no", "warned"}
    assert badly.maybe == {"a", "no", "warned"}


@pytest.mark.parametrize(
    "whole",
    [chain(A, group(B, NO), on_success=ALONE), chord(group(A), group(B, NO), on_success=ALONE)],
    ids=written,
)
def test_a_group_that_ends_what_has_callbacks_is_one_whole(whole: Tree) -> None:
    reading = read(whole)

    assert reading.sure == {"a", "no"}
    assert reading.maybe == {"a", "b", "no"}


def test_a_callback_of_a_part_runs_before_the_rest_fails() -> None:
    reading = read(chain(chain(A, on_success=B), group(NO, on_error=C), ALONE, on_success=A))

    assert reading.sure == reading.maybe == {"a", "b", "no", "c"}


def test_the_group_of_a_chord_that_collects_is_told_of_as_a_success() -> None:
    assert read(collect(group(NO, on_success=A), B)).sure == {"no", "a", "b"}


def test_a_long_value_is_told_in_short() -> None:
    long = made("a", "text", '"' + "x" * 200 + '"')

    assert len(long) < 30
    assert long != made("a", "text", '"' + "y" * 200 + '"')

"""Workflows as data: what may be written, what is refused, and that it survives JSON and the wire."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aioqueue import Chain, Chord, Group, Link, RetryPolicy, Server, Signature, chain, chord, codec, group
from aioqueue.codec import DecodeError
from aioqueue.errors import SignatureError
from aioqueue.models.state import ErrorInfo
from aioqueue.models.workflow import awaited
from aioqueue.protocols.messages import Message

PAGE = (Path(__file__).parents[2] / "docs" / "internals" / "wire-format.md").read_text(encoding="utf-8")
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)

server = Server("memory://workflow")


@server.task
async def add(x: int, y: int) -> int:
    return x + y


@server.task
async def total(xs: list[int]) -> int:
    return sum(xs)


@server.task
async def tick(n: int) -> int:
    return n


A, B, C, D = (Signature(name=name) for name in "abcd")
loose: Any = SimpleNamespace(chain=chain, group=group, chord=chord, a=A)
"""For what the type checkers refuse."""


def everything() -> Chain[Any]:
    """A workflow with one of each, nested, with options that JSON has no types for."""
    late = Signature(name="late", args=(1, [2]), eta=NOON, expires=NOON, retry=RetryPolicy(max_retries=2))
    inner = Chain(steps=(A, late)).options(queue="slow", on_error=[Group(members=(B, late))], delay=1.5)
    middle = Group(members=(A, inner, Group(members=()), Chord(group=Group(members=(B,)), callback=C)))
    after = Chord(group=Group(members=(A, B)), callback=Chain(steps=(late, D)), errors="collect")
    return Chain(steps=(A, middle, C)).options(id="once", on_success=[after, late], headers={"t": "7"})


# What the functions and the operator make.


def test_calls_in_a_row_make_a_chain() -> None:
    made = add.s(1, 2) | add.p(3) | add.s(4, 5)

    assert made == Chain(steps=(add.s(1, 2), add.p(3).signature, add.s(4, 5)))
    assert chain(add.s(1, 2), add.p(3), add.s(4, 5)) == made


def test_a_chain_is_taken_into_a_chain() -> None:
    assert chain(chain(A, B), C, chain(D)) == Chain(steps=(A, B, C, D))
    assert Chain(steps=(A, B, C, D)) == ((A | B) | (C | D))
    assert Chain(steps=[Chain(steps=[A, B]), C]).steps == (A, B, C)


def test_a_chain_that_came_from_json_is_taken_into_a_chain() -> None:
    read: Chain[Any] = Chain.model_validate_json((A | B).model_dump_json())

    assert read | C == Chain(steps=(A, B, C))


def test_a_chain_with_options_stays_a_whole() -> None:
    whole = chain(A, B).options(on_error=D)

    assert chain(whole, C).steps == (whole, C)
    assert (whole | C) == Chain(steps=(whole, C))
    assert (C | whole) == Chain(steps=(C, whole))


def test_a_group_and_a_link_make_a_chord() -> None:
    made = group([add.s(1, 2), add.s(3, 4)]) | total.p()

    assert made == Chord(group=Group(members=(add.s(1, 2), add.s(3, 4))), callback=total.p().signature)
    assert made == chord(group([add.s(1, 2), add.s(3, 4)]), total.p())


def test_a_group_of_links_takes_part_in_a_chain() -> None:
    fan = group([add.p(1), add.p(2)])

    assert fan == Link(signature=Group(members=(add.p(1).signature, add.p(2).signature)))
    assert add.s(1, 2) | fan == Chain(steps=(add.s(1, 2), fan.signature))
    assert add.s(1, 2) | fan | total.p() == Chain(steps=(add.s(1, 2), fan.signature, total.p().signature))
    assert group([add.s(1, 2)]) | group([total.p()]) == Chain(
        steps=(Group(members=(add.s(1, 2),)), Group(members=(total.p().signature,)))
    )


def test_what_begins_with_a_link_is_a_link() -> None:
    links: list[object] = [
        add.p(1) | add.p(2),
        chain(add.p(1), add.p(2)),
        add.p(1) | add.s(1, 2),
        group([add.p(1), add.p(2)]) | total.p(),
        chord(group([add.p(1)]), total.p()),
    ]

    assert all(isinstance(link, Link) for link in links)
    assert links[0] == Link(signature=Chain(steps=(add.p(1).signature, add.p(2).signature)))


def test_a_link_of_a_workflow_takes_options() -> None:
    link = (add.p(1) | add.p(2)).options(queue="slow")

    assert link.signature == Chain(steps=(add.p(1).signature, add.p(2).signature), queue="slow")


def test_a_task_makes_a_group_of_one_call_an_item() -> None:
    assert tick.map(range(2)) == Group(members=(tick.s(0), tick.s(1)))
    assert add.starmap([(1, 2), (3, 4)]) == Group(members=(add.s(1, 2), add.s(3, 4)))


def test_a_task_makes_a_group_of_slices() -> None:
    assert total.chunks(range(5), 2) == Group(members=(total.s([0, 1]), total.s([2, 3]), total.s([4])))
    assert total.chunks(iter([1, 2]), size=2) == Group(members=(total.s([1, 2]),))
    assert total.chunks([], 2) == Group(members=())


@pytest.mark.parametrize("size", [0, -1])
def test_slices_of_nothing_are_refused(size: int) -> None:
    with pytest.raises(SignatureError, match=f"chunks: size is {size}; a call takes at least one item"):
        total.chunks([1], size)


def test_what_is_in_slices_is_checked() -> None:
    with pytest.raises(SignatureError, match="total"):
        total.chunks(["x"], 1)  # type: ignore[list-item]  # it is the subject


def test_what_a_task_maps_is_checked() -> None:
    with pytest.raises(SignatureError, match="tick"):
        tick.map(["x"])  # type: ignore[list-item]  # it is the subject


@pytest.mark.timeout(20)
def test_a_very_long_chain_can_be_made_either_way() -> None:
    by_operator: Any = A
    for _ in range(2_000):
        by_operator = by_operator | B

    assert by_operator == chain(A, *[B] * 2_000)


# Options of a whole.


def test_options_belong_to_the_whole() -> None:
    made = chain(A, B).options(
        id="k", queue="q", priority=3, delay=2, on_success=add.p(1), headers={"a": "b"}
    )

    assert isinstance(made, Chain)
    assert (made.id, made.queue, made.priority, made.delay, made.headers) == ("k", "q", 3, 2.0, {"a": "b"})
    assert made.on_success == (add.p(1).signature,)
    assert made.steps == (A, B)


@pytest.mark.parametrize("make", [lambda: chain(A), lambda: group([A]), lambda: chord(group([A]), B)])
@pytest.mark.parametrize(
    ("option", "value"),
    [("immutable", True), ("ignore_result", True), ("args", [1]), ("kwargs", {"a": 1}), ("takes", "last")],
)
def test_what_only_one_call_can_have_is_refused(
    make: Callable[[], Signature], option: str, value: object
) -> None:
    with pytest.raises(SignatureError, match=f"{option} belongs to one call; give it to the calls inside"):
        make().options(**{option: value})  # type: ignore[arg-type]  # any option


def test_workflows_stand_among_callbacks() -> None:
    call = add.s(1, 2).options(on_success=chain(add.p(1), add.p(2)), on_error=[group([A, B]), C])

    assert call.on_success == (Chain(steps=(add.p(1).signature, add.p(2).signature)),)
    assert call.on_error == (Group(members=(A, B)), C)


# What is refused, and what is said of it.


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (loose.chain, "chain: it has no steps"),
        (lambda: Chain(steps=[]), "chain: it has no steps"),
        (lambda: loose.group(A), r"write group\(\[call\]\)"),
        (lambda: loose.group([add]), "is a task and no call of it; write it with .s"),
        (lambda: loose.chain(A, add), "is a task and no call of it; write it with .s"),
        (lambda: loose.a | add, "add is a task and no call of it; write it with .s"),
        (lambda: loose.chain(A, 3), "chain: option 'steps.1'"),
        (lambda: loose.chain(A, {"name": "b", "priority": 10}), "chain: option 'steps.1.priority'"),
        (lambda: loose.chain(A, {"members": [{"name": "b", "takes": "x"}]}), "'steps.1.members.0.takes'"),
        (lambda: loose.group([3]), "group: option 'members.0'"),
        (lambda: loose.chord(A, B), "chord: option 'group'"),
        (lambda: loose.chord(loose.group([A]), add), "is a task and no call of it"),
        (lambda: loose.chord(loose.group([A]), B, errors="some"), "chord: option 'errors'"),
        (
            lambda: loose.chord(loose.group([A]).options(on_error=C), B, errors="collect"),
            "its group cannot fail",
        ),
        (lambda: Group(name="other", members=[]), "its name is 'group' and not 'other'"),
        (lambda: loose.chain(A, B.options(id="k")), "b: a call inside a chain gets its id from the whole"),
        (lambda: A | B.options(id="k"), "b: a call inside a chain gets its id from the whole"),
        (lambda: A.options(id="k") | B, "a: a call inside a chain gets its id from the whole"),
        (lambda: (A | B).options(id="k") | C, "chain: a call inside a chain gets its id from the whole"),
        (
            lambda: loose.group([loose.chain(A).options(id="k")]),
            "chain: a call inside a group gets its id from the whole",
        ),
        (lambda: loose.chain(A).options(steps=3), "chain: option 'steps'"),
        (lambda: loose.chain(A).options(dely=3), "chain: there is no option 'dely'"),
    ],
)
def test_what_is_wrong_is_told(make: Callable[[], Any], told: str) -> None:
    with pytest.raises(SignatureError, match=told):
        make()


def test_nothing_but_a_call_can_follow() -> None:
    with pytest.raises(TypeError):
        A | 3  # type: ignore[operator]  # it is the subject


@pytest.mark.parametrize("fields", [{"steps": [{"name": "two words"}]}, {"members": 3}, {"group": {}}])
def test_dicts_of_a_wrong_shape_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Signature.model_validate({"name": "x", "on_success": [fields]})


# JSON, and what is written by hand.


def test_a_workflow_survives_json() -> None:
    whole = everything()

    assert Chain.model_validate_json(whole.model_dump_json()) == whole
    assert Chain.model_validate(whole.model_dump()) == whole


def test_a_link_survives_json() -> None:
    link = chain(add.p(1), chord(group([add.p(1)]), total.p()))

    assert Link.model_validate_json(link.model_dump_json()) == link


def test_plain_dicts_become_what_they_are() -> None:
    read: Chain[Any] = Chain.model_validate(
        {
            "steps": [
                {"name": "a"},
                {"members": [{"name": "b"}, {"steps": [{"name": "c"}], "queue": "q"}]},
                {"group": {"members": []}, "callback": {"name": "d"}, "errors": "collect"},
            ]
        }
    )

    assert read == Chain(
        steps=(
            A,
            Group(members=(B, Chain(steps=(C,), queue="q"))),
            Chord(group=Group(members=()), callback=D, errors="collect"),
        )
    )


def nested(levels: int) -> Signature:
    call: Signature = A
    for level in range(levels):
        call = Chord(group=Group(members=(call, B)), callback=C) if level % 2 else Group(members=(B, call))
    return call


def test_depth_50_survives_json_and_the_wire() -> None:
    deep = Chain(steps=(nested(50),))

    assert Chain.model_validate_json(deep.model_dump_json()) == deep
    assert codec.decode(Message("1", "chain", "q", codec.encode(deep))) == deep


leaves: st.SearchStrategy[Signature] = st.builds(
    Signature,
    name=st.sampled_from("abc"),
    args=st.lists(st.integers(0, 9), max_size=2).map(tuple),
    eta=st.none() | st.just(NOON),
    expires=st.none() | st.just(NOON) | st.just(60.0),
    queue=st.none() | st.just("q"),
)
calls: st.SearchStrategy[Signature] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Chain, steps=st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Group, members=st.lists(inner, max_size=3).map(tuple), priority=st.integers(0, 9)),
        st.builds(
            Chord,
            group=st.builds(Group, members=st.lists(inner, max_size=3).map(tuple)),
            callback=inner,
            errors=st.sampled_from(["fail_fast", "collect"]),
            on_error=st.lists(inner, max_size=1).map(tuple),
        ),
    ),
    max_leaves=10,
)


@given(calls)
def test_any_workflow_survives_json_and_the_wire(call: Signature) -> None:
    owner = Signature(name="owner", on_success=(call,), on_error=(call,))
    body = codec.encode(owner)
    read = Signature.model_validate_json(owner.model_dump_json())

    assert read == owner
    assert codec.encode(read) == body
    assert codec.decode(Message("1", "owner", "q", body)) == owner


# The wire.


def test_the_page_shows_the_body_of_a_workflow() -> None:
    fan = Group(members=(Signature(name="scale", args=(2.0,), takes="last"), Signature(name="log")))
    callback = Signature(name="total", takes="last")
    body = codec.encode(
        Signature(name="add", on_success=(Chain(steps=(fan, callback), queue="slow"),)), takes_from="wf.7"
    )
    both = codec.encode(
        Signature(name="add", on_error=(Chord(group=fan, callback=callback, errors="collect"),))
    )

    assert body.decode() in PAGE.splitlines()
    assert both.decode() in PAGE.splitlines()


@pytest.mark.parametrize("key", [*codec._PARTS.values(), codec._TAKES_FROM, codec._CALLED_FOR])
def test_the_page_explains_every_key(key: str) -> None:
    assert f"\n| `{key}` |" in PAGE


@pytest.mark.parametrize("source", ["0194f0d2.7", "error:0194f0d2.3", "error:" + "x" * 128])
def test_what_a_node_takes_travels_in_its_body(source: str) -> None:
    message = Message("1", "add", "q", codec.encode(Signature(name="add"), takes_from=source))

    assert codec.read(message) == codec.Body(Signature(name="add"), source)
    assert codec.decode(message) == Signature(name="add")


def test_what_a_callback_is_called_for_travels_in_its_body() -> None:
    error = ErrorInfo(type="ValueError", message="no", traceback="…", task_id="t.0", task_name="t", attempt=2)
    body = codec.encode(Signature(name="add"), error=error)

    assert codec.read(Message("1", "add", "q", body)) == codec.Body(Signature(name="add"), error=error)
    assert codec.called_for(codec.encode(Signature(name="add")), error) == body


@pytest.mark.parametrize("value", ["1", '"no"', "{}", '{"type":"E","message":1}'])
def test_what_is_no_error_is_not_read_as_one(value: str) -> None:
    with pytest.raises(codec.DecodeError, match="'ee' is no error"):
        codec.read(Message("1", "add", "q", f'{{"v":1,"ee":{value}}}'.encode()))


def test_a_body_that_names_no_source_takes_from_nothing() -> None:
    assert codec.read(Message("1", "add", "q", b'{"v":1}')).takes_from is None


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"in": 3}, "the key 'in' names nothing to read: 3"),
        ({"in": None}, "the key 'in' names nothing to read"),
        ({"in": "two words"}, "the key 'in' names nothing to read"),
        ({"in": "error:"}, "the key 'in' names nothing to read"),
        ({"s": [{"n": "x", "in": "w.1"}]}, "the key 'in' is not known"),
        ({"st": [{"n": "x"}]}, "its name is 'chain' and not 'add'"),
        ({"cb": {"n": "x"}}, "the key 'cb' is not known"),
        ({"s": [{"st": []}]}, "chain: it has no steps"),
        ({"s": [{"st": {"n": "x"}}]}, "steps are no list of objects"),
        ({"s": [{"m": [3]}]}, "members are no list of objects"),
        ({"s": [{"st": [{"n": "x"}], "m": []}]}, "the key 'm' is not known"),
        ({"s": [{"m": [], "er": "collect"}]}, "the key 'er' is not known"),
        ({"s": [{"m": [], "a": [1]}]}, "args belongs to one call"),
        ({"s": [{"m": [], "im": True}]}, "immutable belongs to one call"),
        ({"s": [{"m": [], "zz": 1}]}, "the key 'zz' is not known"),
        ({"s": [{"m": [{"n": "x", "i": "k"}]}]}, "x: a call inside a group gets its id from the whole"),
        ({"s": [{"g": [], "cb": {"n": "x"}}]}, "the group is no object"),
        ({"s": [{"g": {"m": []}, "cb": 3}]}, "the callback is no object"),
        ({"s": [{"g": {"m": []}}]}, "'callback'"),
        ({"s": [{"g": {"n": "x"}, "cb": {"n": "x"}}]}, "'group'"),
        ({"s": [{"g": {"m": []}, "cb": {"n": "x"}, "er": "some"}]}, "'errors'"),
    ],
)
def test_what_is_wrong_with_a_body_is_told(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(DecodeError) as caught:
        codec.decode(Message("1", "add", "q", orjson.dumps({"v": 1, **fields})))

    assert told in str(caught.value)


def test_what_is_nested_too_deeply_to_be_read_cannot_be_sent() -> None:
    call: Signature = A
    for _ in range(126):
        call = Chord(group=Group(members=()), callback=call)

    assert codec.decode(Message("1", "chord", "q", codec.encode(call))) == call
    with pytest.raises(SignatureError, match="nested too deeply"):
        codec.encode(Chord(group=Group(members=()), callback=call))


# As callbacks they are given what came before them.


def test_a_value_goes_to_what_begins_a_workflow() -> None:
    inner, deaf = Chain(steps=(A, B)), C.options(immutable=True)
    whole = Chain(steps=(Group(members=(add.p(1).signature, inner, deaf)), total.p().signature))
    fan, last = whole.given(7).calls

    assert isinstance(fan, Group)
    assert [call.args for call in fan.calls] == [(1, 7), (), ()]
    assert fan.calls[1] == inner.given(7)
    assert [call.args for call in inner.given(7).calls] == [(7,), ()]
    assert last == total.p().signature


def test_what_was_given_is_taken_no_more() -> None:
    given_value = Chain(steps=(add.p(1).signature, B)).given(7)

    assert given_value.calls[0].takes == "none"


def test_an_error_goes_to_the_first_place_of_what_is_written_by_hand() -> None:
    callback = Signature(name="alert", args=("ops",))
    given_error = Chord(group=Group(members=(callback,)), callback=B).given("no", error=True)

    assert given_error.group.calls[0].args == ("no", "ops")
    assert given_error.callback == B


@pytest.mark.parametrize(
    ("hint", "type_"),
    [
        (int, int),
        (Signature[int], int),
        (Chain[str], str),
        (Group[int], list[int]),
        (Signature, Any),
        (int | Signature[str], int | str),
        (list[int] | None, list[int] | None),
    ],
)
def test_value_of_a_task_that_may_return_a_call_is_that_ones(hint: Any, type_: Any) -> None:
    assert awaited(hint) == type_

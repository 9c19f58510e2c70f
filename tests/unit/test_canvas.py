"""Plans: small ones as they are written out by hand, and what holds for all of them, run in a model."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioqueue import Chain, Chord, Group, RetryPolicy, Signature, chain, chord, group
from aioqueue.canvas import Plan, compiled
from aioqueue.errors import SignatureError
from aioqueue.layout import DEEPEST
from aioqueue.protocols.flow import Join, Node, Place, Range, Scope
from aioqueue.protocols.messages import Message
from tests.support.model import Model

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
NIGHT = datetime(2030, 1, 2, tzinfo=UTC)
A, B, C, D, E = (Signature(name=name) for name in "abcde")
NOBODY: Group[Any] = Group(members=())


def pack(call: Signature, id: str, takes: str | None) -> Message:
    return Message(id, call.name, "q", (takes or "").encode())


def plan(call: Signature) -> Plan:
    return compiled(call, id="w", pack=pack)


def calls_of(call: Signature) -> dict[str, Signature]:
    """Return the calls of the nodes by their ids."""
    made: dict[str, Signature] = {}

    def keep(node: Signature, id: str, takes: str | None) -> Message:
        made[id] = node
        return pack(node, id, takes)

    compiled(call, id="w", pack=keep)
    return made


def node(
    number: int, name: str, takes: str = "", into: Place | None = None, scope: int | None = None
) -> Node:
    return Node(
        pack(Signature(name=name), f"w.{number}", takes), into, None if scope is None else f"w.{scope}"
    )


def into(join: int, number: int = 0) -> Place:
    return Place(f"w.{join}", number)


# Plans written out by hand.


def test_one_call_is_one_node() -> None:
    assert plan(A) == Plan(
        "w",
        (node(0, "a", scope=1),),
        (),
        (Scope("w.1", fails="w.0", first=0),),
        Range(0, 1),
        "w.0",
        root="w.1",
    )


def test_a_chain_joins_each_step_to_the_next() -> None:
    assert plan(chain(A, B, C)) == Plan(
        "w",
        (
            node(0, "a", into=into(3), scope=5),
            node(1, "b", "w.3", into(4), 5),
            node(2, "c", "w.4", None, 5),
        ),
        (
            Join("w.3", 1, single=True, then=Range(1, 1), scope="w.5"),
            Join("w.4", 1, single=True, then=Range(2, 1), frees="w.3", scope="w.5"),
        ),
        (Scope("w.5", fails="w.2", first=0),),
        Range(0, 1),
        "w.2",
        root="w.5",
    )


def test_members_of_a_plain_group_are_scopes_whose_error_is_a_value() -> None:
    assert plan(group([A, chain(B, C)])) == Plan(
        "w",
        (
            node(0, "a", into=into(3, 0), scope=6),
            node(1, "b", into=into(4), scope=7),
            node(2, "c", "w.4", into(3, 1), 7),
        ),
        (
            Join("w.3", 2, shown=True, scope="w.5"),
            Join("w.4", 1, single=True, then=Range(2, 1), scope="w.7"),
        ),
        (
            Scope("w.5", fails="w.3", first=0),
            Scope("w.6", fails="w.0", into=into(3, 0), around="w.5", first=0),
            Scope("w.7", fails="w.2", into=into(3, 1), around="w.5", first=1),
        ),
        Range(0, 2),
        "w.3",
        root="w.5",
    )


def test_a_group_in_a_chain_reads_the_join_before_and_frees_it() -> None:
    assert plan(chain(A, group([B, C]), D)) == Plan(
        "w",
        (
            node(0, "a", into=into(4), scope=6),
            node(1, "b", "w.4", into(5, 0), 6),
            node(2, "c", "w.4", into(5, 1), 6),
            node(3, "d", "w.5", None, 6),
        ),
        (
            Join("w.4", 1, single=True, then=Range(1, 2), scope="w.6"),
            Join("w.5", 2, then=Range(3, 1), frees="w.4", scope="w.6"),
        ),
        (Scope("w.6", fails="w.3", first=0),),
        Range(0, 1),
        "w.3",
        root="w.6",
    )


def test_a_chord_fails_with_its_first_member_and_tells_once() -> None:
    made = plan(chord(group([A, chain(B, C)]), D).options(on_error=E))

    assert made == Plan(
        "w",
        (
            node(0, "a", into=into(5, 0), scope=7),
            node(1, "b", into=into(6), scope=8),
            node(2, "e", "error:w.7", None, 9),
            node(3, "c", "w.6", into(5, 1), 8),
            node(4, "d", "w.5", None, 7),
        ),
        (
            Join("w.5", 2, then=Range(4, 1), scope="w.7"),
            Join("w.6", 1, single=True, then=Range(3, 1), scope="w.8"),
        ),
        (
            Scope("w.7", fails="w.4", then=Range(2, 1), first=0),
            Scope("w.8", fails="w.3", around="w.7", first=1),
            Scope("w.9", fails="w.2", first=2, hangs="w.7"),
        ),
        Range(0, 2),
        "w.4",
        root="w.7",
    )


def test_a_chord_that_collects_takes_errors_as_values() -> None:
    made = plan(chord(group([A, group([B, C])]), D, errors="collect"))

    assert made.joins == (
        Join("w.4", 2, then=Range(3, 1), scope="w.6"),
        Join("w.5", 2, into=into(4, 1), shown=True, scope="w.8"),
    )
    assert made.scopes == (
        Scope("w.6", fails="w.3", first=0),
        Scope("w.7", fails="w.0", into=into(4, 0), around="w.6", first=0),
        Scope("w.8", fails="w.5", into=into(4, 1), around="w.6", first=1),
    )
    assert [n.scope for n in made.nodes] == ["w.7", "w.8", "w.8", "w.6"]


def test_a_group_of_groups_is_plain_all_through() -> None:
    made = plan(group([group([A]), group([B])]))

    assert made.joins == (
        Join("w.2", 2, shown=True, scope="w.5"),
        Join("w.3", 1, into=into(2, 0), shown=True, scope="w.6"),
        Join("w.4", 1, into=into(2, 1), shown=True, scope="w.8"),
    )
    assert made.scopes == (
        Scope("w.5", fails="w.2", first=0),
        Scope("w.6", fails="w.3", into=into(2, 0), around="w.5", first=0),
        Scope("w.7", fails="w.0", into=into(3, 0), around="w.6", first=0),
        Scope("w.8", fails="w.4", into=into(2, 1), around="w.5", first=1),
        Scope("w.9", fails="w.1", into=into(4, 0), around="w.8", first=1),
    )
    assert (made.start, made.result) == (Range(0, 2), "w.2")


def test_a_group_that_ends_a_chain_is_plain_and_its_chain_a_scope() -> None:
    made = plan(chain(A, group([B, C])))

    assert made.result == "w.4"
    assert made.joins[1] == Join("w.4", 2, shown=True, frees="w.3", scope="w.5")
    assert made.scopes == (
        Scope("w.5", fails="w.4", first=0),
        Scope("w.6", fails="w.1", into=into(4, 0), around="w.5", first=1),
        Scope("w.7", fails="w.2", into=into(4, 1), around="w.5", first=2),
    )


def test_callbacks_make_a_group_one_whole() -> None:
    made = plan(group([A, B]).options(on_success=C, on_error=D))

    assert made == Plan(
        "w",
        (
            node(0, "a", into=into(4, 0), scope=5),
            node(1, "b", into=into(4, 1), scope=5),
            node(2, "d", "error:w.5", None, 6),
            node(3, "c", "w.4", None, 7),
        ),
        (Join("w.4", 2, then=Range(3, 1), shown=True, scope="w.5"),),
        (
            Scope("w.5", fails="w.4", then=Range(2, 1), first=0),
            Scope("w.6", fails="w.2", first=2, hangs="w.5"),
            Scope("w.7", fails="w.3", first=3, hangs="w.4"),
        ),
        Range(0, 2),
        "w.4",
        root="w.5",
    )


def test_what_follows_a_group_and_its_on_success_are_one_release_and_keep_its_values() -> None:
    made = plan(chain(group([A]).options(on_success=[E, chain(D, D)]), B, C))

    assert [n.message.name for n in made.nodes] == ["a", "b", "e", "d", "c", "d"]
    assert made.joins[0] == Join("w.6", 1, then=Range(1, 3), scope="w.9")
    assert [n.message.body for n in made.nodes[1:4]] == [b"w.6"] * 3
    assert [join.frees for join in made.joins] == [None, None, None]


def test_callbacks_of_a_whole_are_its_last_parts_whatever_their_numbers() -> None:
    failing = plan(chain(A, group([B, C]), D).options(on_error=[E, chain(A, B)]))
    going_well = plan(chain(group([A, B]).options(on_success=[D, E]), C))

    assert list(failing.outline) == [["chain", 0, ["group", "3-4"], 6, ["on_error", 1, ["chain", 2, 5]]]]
    assert list(going_well.outline) == [["chain", ["group", "0-1", ["on_success", "3-4"]], 2]]


def test_a_chain_with_options_in_a_chain_is_a_scope_in_it() -> None:
    made = plan(chain(A, chain(B, C).options(on_error=E), D))

    assert [n.scope for n in made.nodes] == ["w.8", "w.9", "w.10", "w.9", "w.8"]
    assert made.scopes == (
        Scope("w.8", fails="w.4", first=0),
        Scope("w.9", fails="w.3", then=Range(2, 1), around="w.8", first=1),
        Scope("w.10", fails="w.2", first=2, hangs="w.9"),
    )
    assert [join.frees for join in made.joins] == [None, "w.5", "w.6"]


def test_on_success_of_a_whole_goes_with_its_last_call() -> None:
    made = calls_of(chain(A, chain(B, C.options(on_success=A)).options(on_success=D)).options(on_success=E))

    assert made["w.2"].on_success == (A, D, E)
    assert made["w.0"].on_success == made["w.1"].on_success == ()


# Empty groups.


def test_an_empty_group_is_full_from_the_start() -> None:
    assert plan(NOBODY) == Plan(
        "w",
        (),
        (Join("w.0", 0, shown=True, scope="w.1"),),
        (Scope("w.1", fails="w.0"),),
        Range(),
        "w.0",
        ("w.0",),
        "w.1",
    )


def test_a_chord_over_nobody_starts_with_its_callback() -> None:
    made = plan(chord(group([NOBODY, NOBODY]), B))

    assert made.nodes == (node(0, "b", "w.1", None, 4),)
    assert (made.start, made.result, made.full) == (Range(0, 1), "w.0", ("w.2", "w.3"))


def test_a_step_over_nobody_is_passed() -> None:
    made = plan(chain(A, NOBODY, B))

    assert made.nodes == (node(0, "a", into=into(2), scope=4), node(1, "b", "w.3", None, 4))
    assert made.joins == (
        Join("w.2", 1, single=True, then=Range(1, 1), scope="w.4"),
        Join("w.3", 0, scope="w.4"),
    )
    assert made.full == ("w.3",)


def test_nobody_at_the_end_is_full_when_it_is_reached() -> None:
    made = plan(chain(A, group([NOBODY, NOBODY])))

    assert made.joins == (
        Join("w.1", 1, single=True, into=into(3), scope="w.5"),
        Join("w.2", 2, shown=True, frees="w.1", scope="w.5"),
        Join("w.3", 0, into=into(2, 0), shown=True, scope="w.6"),
        Join("w.4", 0, into=into(2, 1), shown=True, scope="w.7"),
    )
    assert (made.result, made.full) == ("w.2", ("w.4",))


def test_on_success_of_nobody_is_released_all_the_same() -> None:
    made = plan(NOBODY.options(on_success=B))

    assert (made.nodes, made.start) == ((node(0, "b", "w.1", None, 3),), Range(0, 1))


# What calls have from the wholes around them.


def test_defaults_are_for_calls_that_set_none() -> None:
    policy = RetryPolicy(max_retries=1)
    whole = chain(A, B.options(queue="own", timeout=1), group([C.options(priority=9)]).options(queue="inner"))
    made = calls_of(whole.options(queue="q", priority=5, timeout=30, retry=policy, result_ttl=60))

    assert [call.queue for call in made.values()] == ["q", "own", "inner"]
    assert [call.priority for call in made.values()] == [5, 5, 9]
    assert [call.timeout for call in made.values()] == [30, 1, 30]
    assert {call.retry for call in made.values()} == {policy}
    assert {call.result_ttl for call in made.values()} == {60}


def test_headers_go_to_all_calls_and_the_inner_ones_count() -> None:
    inner = chain(B.options(headers={"c": "3"})).options(headers={"b": "2"})
    made = calls_of(chain(A, inner).options(headers={"a": "1", "b": "1"}))

    assert [call.headers for call in made.values()] == [{"a": "1", "b": "1"}, {"a": "1", "b": "2", "c": "3"}]


def test_when_a_whole_starts_is_said_of_what_begins_it() -> None:
    fan = group([A.options(delay=1, eta=NOON, expires=60), B]).options(delay=2)
    made = calls_of(chain(fan, C.options(delay=5), D).options(delay=10, eta=NIGHT, expires=30))

    assert [call.delay for call in made.values()] == [13, 12, 5, 0]
    assert [call.eta for call in made.values()] == [NIGHT, NIGHT, None, None]
    assert [call.expires for call in made.values()] == [30, 30, None, None]


def test_a_whole_in_the_middle_may_start_later() -> None:
    made = calls_of(chain(A, chain(B, C).options(delay=7), D).options(delay=1))

    assert [call.delay for call in made.values()] == [1, 7, 0, 0]


@pytest.mark.parametrize(
    ("outer", "inner", "kept"), [(NOON, NIGHT, NOON), (NIGHT, NOON, NOON), (60, NOON, NOON), (NOON, 60, NOON)]
)
def test_the_stricter_moment_counts(outer: Any, inner: Any, kept: Any) -> None:
    made = calls_of(chain(A.options(expires=inner)).options(expires=outer))

    assert made["w.0"].expires == kept


def test_callbacks_of_a_whole_have_nothing_from_it() -> None:
    made = calls_of(group([A]).options(on_error=B, on_success=C, queue="q", headers={"a": "b"}, delay=3))

    assert [call.name for call in made.values() if call.queue == "q"] == ["a"]
    assert made["w.1"] == B
    assert made["w.2"] == C


def test_what_takes_nothing_names_no_source() -> None:
    made = plan(chain(A, B.options(immutable=True), Signature(name="c", takes="none")))

    assert [n.message.body for n in made.nodes] == [b""] * 3


# What is refused.


@pytest.mark.parametrize(
    ("whole", "told"),
    [
        (Chain(steps=(Signature(name="a", takes="last"), B)), "a: it wants a previous result"),
        (Group(members=(A, Chain(steps=(Signature(name="b", takes="first"),)))), "b: it wants a previous"),
        (Signature(name="a", takes="last"), "a: it wants a previous result"),
        (group([A]).options(on_success=B.options(id="k")), "b: a call that a workflow releases gets its id"),
        (chain(A).options(on_error=B.options(id="k")), "b: a call that a workflow releases gets its id"),
    ],
)
def test_what_cannot_be_released_is_told(whole: Signature, told: str) -> None:
    with pytest.raises(SignatureError, match=told):
        plan(whole)


def test_an_immutable_link_may_begin() -> None:
    whole = chain(Signature(name="a", takes="last", immutable=True), B)

    assert plan(whole).nodes[0].message.body == b""


def test_an_id_too_long_for_a_workflow_is_told() -> None:
    with pytest.raises(SignatureError, match="too long for a workflow"):
        compiled(chain(A, B), id="x" * 127, pack=pack)


def test_the_id_of_the_whole_is_the_plans() -> None:
    assert plan(chain(A).options(id="k")) == plan(chain(A))
    assert plan(A.options(id="k")) == plan(A)


# Size.


def size(made: Plan) -> int:
    return len(made.nodes) + len(made.joins) + len(made.scopes)


@pytest.mark.parametrize("width", [1, 10, 3_000])
def test_a_plan_is_as_long_as_its_chain(width: int) -> None:
    made = plan(Chain(steps=(A,) * width))

    assert size(made) == 2 * width
    assert len(repr(made)) < 1_000 * width


@pytest.mark.parametrize("width", [1, 10, 3_000])
def test_a_plan_is_as_wide_as_its_group(width: int) -> None:
    assert size(plan(Group(members=(A,) * width))) == 2 * width + 2
    assert size(plan(Chord(group=Group(members=(A,) * width), callback=B))) == width + 3


def deep(levels: int) -> Signature:
    call: Signature = A
    for level in range(levels):
        match level % 3:
            case 0:
                call = Group(members=(call, B))
            case 1:
                call = Chain(steps=(C, call), priority=1)
            case _:
                call = Chord(group=Group(members=(D,)), callback=call)
    return call


def test_a_plan_is_linear_in_depth() -> None:
    small, large = size(plan(deep(25))), size(plan(deep(50)))

    assert large <= 2 * small + 4
    assert size(plan(deep(DEEPEST))) <= 4 * small + 8


def test_what_is_too_deep_is_told() -> None:
    with pytest.raises(SignatureError, match=f"nested more than {DEEPEST} deep"):
        plan(deep(DEEPEST + 1))


# What holds for every plan: its shape, and what comes of it when it is run.

leaves: st.SearchStrategy[Signature] = st.builds(
    Signature, name=st.sampled_from("abcdef"), takes=st.sampled_from([None, None, "none"])
)


def callbacks(inner: st.SearchStrategy[Signature]) -> st.SearchStrategy[tuple[Signature, ...]]:
    return st.just(()) | st.just(()) | st.lists(inner, max_size=2).map(tuple)


def wholes(inner: st.SearchStrategy[Signature]) -> st.SearchStrategy[Signature]:
    calls = callbacks(inner)
    groups: st.SearchStrategy[Group[Any]] = st.builds(
        Group, members=st.lists(inner, max_size=3).map(tuple), on_success=calls, on_error=calls
    )
    plain: st.SearchStrategy[Group[Any]] = st.builds(
        Group, members=st.lists(inner, max_size=3).map(tuple), on_success=calls
    )
    chains: st.SearchStrategy[Chain[Any]] = st.builds(
        Chain, steps=st.lists(inner, min_size=1, max_size=3).map(tuple), on_success=calls, on_error=calls
    )
    chords: st.SearchStrategy[Chord[Any]] = st.builds(
        Chord,
        group=plain,
        callback=inner,
        errors=st.sampled_from(["fail_fast", "collect"]),
        on_success=calls,
        on_error=calls,
    )
    return st.one_of(inner, groups, chains, chords)


trees: st.SearchStrategy[Signature] = wholes(wholes(wholes(wholes(leaves))))


def value_of(call: Signature, taken: Any = None) -> Any:
    """Return what *call* comes to when all goes well: a node's value is its name and what it took."""
    match call:
        case Chain():
            for step in call.calls:
                taken = value_of(step, taken)
            return taken
        case Group():
            return [value_of(member, taken) for member in call.calls]
        case Chord():
            return value_of(call.callback, value_of(call.group, taken))
        case _:
            return (call.name, None if call.takes == "none" else taken)


def ranges(made: Plan) -> list[Range]:
    return [made.start, *(join.then for join in made.joins), *(scope.then for scope in made.scopes)]


@given(trees)
def test_every_node_is_released_once(call: Signature) -> None:
    made = plan(call)
    released = [n for r in ranges(made) for n in range(r.first, r.first + r.count)]

    assert sorted(released) == list(range(len(made.nodes)))


@given(trees)
def test_ids_are_numbers_each_used_once(call: Signature) -> None:
    made = plan(call)
    ids = [*(n.message.id for n in made.nodes), *(j.id for j in made.joins), *(s.id for s in made.scopes)]

    assert ids == [f"w.{number}" for number in range(size(made))]


@given(trees)
def test_every_join_gets_each_of_its_members_once(call: Signature) -> None:
    made = plan(call)
    parts: list[Node | Join] = [*made.nodes, *made.joins]
    places = [part.into for part in parts if part.into is not None]

    assert len(set(places)) == len(places)
    for join in made.joins:
        numbers = sorted(place.number for place in places if place.join == join.id)
        reached = join.size == 0 and join.id not in made.full
        assert numbers == ([0] if reached else list(range(join.size)))


@given(trees)
def test_scopes_are_a_tree_and_their_errors_go_where_values_go(call: Signature) -> None:
    made = plan(call)
    ends = {part.message.id: part.into for part in made.nodes} | {part.id: part.into for part in made.joins}
    scopes = {scope.id: scope for scope in made.scopes}
    order = list(scopes)

    for scope in made.scopes:
        assert scope.fails in ends
        assert scope.into in (None, ends[scope.fails])
        assert scope.around is None or order.index(scope.around) < order.index(scope.id)
    parts: list[Node | Join] = [*made.nodes, *made.joins]
    for part in parts:
        assert part.scope is None or part.scope in scopes


@settings(max_examples=3 * settings().max_examples)
@given(trees, st.randoms(use_true_random=False))
def test_a_plan_that_goes_well_comes_to_the_value_of_its_workflow(
    call: Signature, order: random.Random
) -> None:
    model = Model(plan(call), frozenset(), order)
    model.run()

    assert model.records[model.plan.result] == value_of(call)
    assert not model.closed
    told = {n for s in model.plan.scopes for n in range(s.then.first, s.then.first + s.then.count)}
    assert all(count == 1 for count in model.ran.values())
    assert told or len(model.ran) == len(model.plan.nodes)


@settings(max_examples=3 * settings().max_examples)
@given(trees, st.frozensets(st.integers(0, 30), min_size=1), st.randoms(use_true_random=False))
def test_a_plan_whose_nodes_fail_is_decided_all_the_same(
    call: Signature, failing: frozenset[int], order: random.Random
) -> None:
    model = Model(plan(call), failing, order)
    model.run()

    assert model.plan.result in model.records
    assert all(count == 1 for count in model.ran.values())
    for scope in model.plan.scopes:
        if scope.id in model.closed and scope.fails is not None:
            assert isinstance(model.records[scope.fails], Exception)

"""Canvas: compiles a workflow into a plan: flat nodes, joins and scopes. Pure.

What is released together is numbered in a row, so whatever follows a join is one range. Parts are
therefore entered release by release, in the order in which they are met, and not branch by branch; the
stack grows with how deep a workflow is nested and never with how long or wide it is.

    what ends a part      a node, or the join of its group
    where its value goes  into its group's join, or it begins what follows, through a join of one
    where its error goes  into the same join, where an error is a value there; else its scope closes

An error is a value in a group that nobody takes values from: it is not followed by anything, not in a
chord, and no callbacks were given to it or to what it ends. Of a chord that collects errors it is one
too, each member ending as one value or one error. Everywhere else the first failure decides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from aioqueue.errors import SignatureError
from aioqueue.models.signature import Signature
from aioqueue.models.workflow import NOTHING, Chain, Chord, Group, Inheritance, Workflow
from aioqueue.protocols.flow import Join, Node, Place, Range, Scope
from aioqueue.protocols.messages import Message

Pack = Callable[[Signature, str, str | None], Message]
"""Makes a node's message of its call, its id, and where what it takes is read."""

DEEPEST: Final = 100
"""Workflows within workflows; as deep as their JSON can be read."""

ERROR: Final = "error:"
"""Put before the id of a record, where a node takes that one's error and no join's value."""

_ID: Final = 128


@dataclass(frozen=True, slots=True)
class Plan:
    """A workflow as stores keep it.

    start: nodes that are released once all of it is stored. result: id of the record that is the
    outcome of the whole: its last node's or its last join's. full: joins of size 0 that wait for nothing
    and are full from the start: what a store does of a join that is full it does of them once the plan is
    stored; that may fill other joins, and releases nothing. A join of size 0 that is not among them
    is full when something is put into it, and its value is the empty list all the same.
    """

    id: str
    nodes: tuple[Node, ...]
    joins: tuple[Join, ...]
    scopes: tuple[Scope, ...]
    start: Range
    result: str
    full: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class _Node:
    call: Signature
    number: int
    takes: _Join | _Scope | None
    into: _Into | None
    scope: _Scope | None


@dataclass(slots=True, eq=False)
class _Join:
    size: int
    single: bool = False
    then: Range = field(default_factory=Range)
    into: _Into | None = None
    shown: bool = False
    frees: _Join | None = None
    scope: _Scope | None = None
    number: int = 0


@dataclass(slots=True, eq=False)
class _End:
    """Waits to be told what ends a part. shows: for the sake of its record."""

    end: _Node | _Join | None = None
    shows: bool = True


@dataclass(slots=True, eq=False)
class _Scope(_End):
    """Decides the end of its part."""

    into: _Into | None = None
    around: _Scope | None = None
    then: Range = field(default_factory=Range)
    number: int = 0


_Into = tuple[_Join, int]


@dataclass(frozen=True, slots=True)
class _Around:
    """What a part finds where it is put.

    into: where its value goes. after: what it begins instead. ends: who is told what ends it. scope:
    what closes when it fails; with *catches* its error goes where its value goes. consumed: somebody
    takes its value, or it is part of what is decided as a whole. collects: its members' errors are
    values. takes: what its first calls take; frees: what nobody reads any more once it has ended.
    trigger: what fills it, where it has no nodes. inherits: what its calls have from the
    wholes around. on_success: calls of all wholes that it ends.
    """

    into: _Into | None = None
    after: _Step | None = None
    ends: tuple[_End, ...] = ()
    scope: _Scope | None = None
    catches: bool = False
    consumed: bool = False
    collects: bool = False
    takes: _Join | _Scope | None = None
    frees: _Join | None = None
    trigger: _Join | None = None
    inherits: Inheritance = NOTHING
    on_success: tuple[Signature, ...] = ()
    depth: int = 0

    def inside(self, whole: Workflow[Any]) -> _Around:
        """Return what the parts of *whole* find."""
        if self.depth == DEEPEST:
            raise SignatureError(f"{whole.name}: workflows are nested more than {DEEPEST} deep")
        return replace(
            self,
            consumed=self.consumed or bool(whole.on_success or whole.on_error),
            inherits=self.inherits.within(whole),
            on_success=(*whole.on_success, *self.on_success),
            depth=self.depth + 1,
        )


@dataclass(frozen=True, slots=True)
class _Run:
    """Steps of a chain, or group and callback of a chord, and what is around all of them."""

    steps: tuple[Signature, ...]
    around: _Around
    scope: _Scope
    collects: bool = False


@dataclass(frozen=True, slots=True)
class _Step:
    """A step of a run, by its number, that is entered once the one before has ended."""

    run: _Run
    at: int


@dataclass(frozen=True, slots=True)
class _Release:
    """Parts that are entered together: a step, and calls that stand alone; *owner* releases them."""

    owner: _Join | _Scope
    step: _Step | None = None
    calls: tuple[Signature, ...] = ()


def compiled(workflow: Signature, *, id: str, pack: Pack) -> Plan:
    """Return the plan of *workflow*, whose nodes, joins and scopes have ids ``<id>.<n>``.

    Raises SignatureError, and what *pack* raises.
    """
    layout = _Layout()
    whole = _End()
    # the id of the whole is the plan's
    layout.enter(workflow.model_copy(update={"id": None}), _Around(ends=(whole,)))
    start = layout.since(0)
    layout.finish()
    return _written(layout, whole, start, id, pack)


class _Layout:
    """Nodes, joins and scopes in the making; ids are given when all of them are known."""

    def __init__(self) -> None:
        self.nodes: list[_Node] = []
        self.joins: list[_Join] = []
        self.scopes: list[_Scope] = []
        self.full: list[_Join] = []
        self._releases: deque[_Release] = deque()
        self._empty: dict[int, bool] = {}

    def since(self, first: int) -> Range:
        """Return the range of the nodes from number *first* on."""
        count = len(self.nodes) - first
        return Range(first, count) if count else Range()

    def finish(self) -> None:
        """Enter all that is released later on."""
        while self._releases:
            release = self._releases.popleft()
            owner, first = release.owner, len(self.nodes)
            if release.step is not None and isinstance(owner, _Join):
                frees = None if release.calls or owner.shown else owner
                around = release.step.run.around
                here = replace(around, takes=owner, frees=frees, trigger=owner)
                # when the whole starts is said of what begins it
                here = replace(here, inherits=around.inherits.later())
                self._go_on(release.step, here)
            self._alone(release.calls, owner)
            owner.then = self.since(first)

    def enter(self, call: Signature, around: _Around) -> None:
        """Enter a part: what starts of it is added to the release that is being made."""
        match call:
            case Chain():
                self._enter_run(call, around)
            case Chord():
                self._enter_run(call, around, collects=call.errors == "collect")
            case Group():
                self._enter_group(call, around)
            case _:
                self._enter_call(call, around)

    def _enter_call(self, call: Signature, around: _Around) -> None:
        if call.id is not None:
            raise SignatureError(
                f"{call.name}: a call that a workflow releases gets its id from it; leave out id={call.id!r}"
            )
        takes = around.takes if _is_open(call) else None
        if call.takes in ("last", "first") and _is_open(call) and around.takes is None:
            raise SignatureError(
                f"{call.name}: it wants a previous result and nothing comes before it; "
                "make the first call of a workflow complete, with .s(...)"
            )
        scope, ends = around.scope, around.ends
        if around.catches:
            scope = self._scope(around)
            ends = (*ends, scope)
        node = _Node(_made(call, around), len(self.nodes), takes, around.into, scope)
        self.nodes.append(node)
        if around.after is not None:
            join = self._join(_Join(1, single=True, frees=around.frees, scope=around.after.run.scope))
            node.into = (join, 0)
            self._releases.append(_Release(join, around.after))
        for end in ends:
            end.end = node

    def _enter_group(self, call: Group[Any], around: _Around) -> None:
        here = around.inside(call)
        catches = here.collects or not here.consumed
        scope = here.scope
        join = self._join(_Join(len(call.members), into=here.into, frees=here.frees))
        if not catches and (call.on_error or here.catches or scope is None):
            scope = self._scope(here, call.on_error)
            scope.end = join
        join.scope = scope
        join.shown = scope is not here.scope or not here.consumed or any(end.shows for end in here.ends)
        for end in here.ends:
            end.end = join
        # a member that catches makes the scope of its own, where it is known what ends it
        inner = replace(here, after=None, ends=(), scope=scope, catches=catches, collects=False)
        inner = replace(inner, frees=None, trigger=None, on_success=())
        for number, member in enumerate(call.members):
            trigger = here.trigger if number == 0 else None
            self.enter(member, replace(inner, into=(join, number), trigger=trigger))
        self._follow(call, join, here)

    def _follow(self, call: Group[Any], join: _Join, around: _Around) -> None:
        """Arrange for what comes after a group, whose members have been entered."""
        if not self._is_empty(call) or around.trigger is not None:
            if not call.members and around.trigger is not None:
                around.trigger.into = (join, 0)
            if around.after is not None or around.on_success:
                self._releases.append(_Release(join, around.after, around.on_success))
            return
        # full as soon as it is reached: what follows is released by whatever reaches it
        if not call.members:
            self.full.append(join)
        self._alone(around.on_success, join)

    def _enter_run(self, call: Workflow[Any], around: _Around, *, collects: bool = False) -> None:
        here = around.inside(call)
        scope = self._scope(here, call.on_error)
        inner = replace(here, scope=scope, catches=False, collects=False, ends=(*here.ends, scope))
        self._go_on(_Step(_Run(call.calls, inner, scope, collects), 0), inner)

    def _go_on(self, step: _Step, here: _Around) -> None:
        """Enter the steps of a run up to the first that has to be waited for."""
        run, last = step.run, len(step.run.steps) - 1
        within = replace(here, consumed=True, into=None, ends=(), on_success=(), trigger=None)
        for at in range(step.at, last):
            call, seen = run.steps[at], _End(shows=False)
            inner = replace(within, takes=here.takes, collects=run.collects)
            if not self._is_empty(call):
                self.enter(call, replace(inner, after=_Step(run, at + 1)))
                return
            # it is full already, when nothing it could free has even begun
            self.enter(call, replace(inner, after=None, ends=(seen,), frees=None))
            here = replace(here, takes=cast(_Join, seen.end))
        trigger = here.trigger if self._is_empty(run.steps[last]) else None
        self.enter(run.steps[last], replace(here, trigger=trigger))

    def _alone(self, calls: Iterable[Signature], takes: _Join | _Scope) -> None:
        """Enter calls that nothing waits for."""
        for call in calls:
            self.enter(call, _Around(takes=takes))

    def _join(self, join: _Join) -> _Join:
        join.number = len(self.joins)
        self.joins.append(join)
        return join

    def _scope(self, around: _Around, on_error: tuple[Signature, ...] = ()) -> _Scope:
        into = around.into if around.catches else None
        scope = _Scope(into=into, around=around.scope, number=len(self.scopes))
        self.scopes.append(scope)
        if on_error:
            self._releases.append(_Release(scope, calls=on_error))
        return scope

    def _is_empty(self, call: Signature) -> bool:
        """Tell whether a part waits for no node at all."""
        if not isinstance(call, Workflow):
            return False
        if id(call) not in self._empty:
            self._empty[id(call)] = all(self._is_empty(inner) for inner in call.calls)
        return self._empty[id(call)]


def _written(layout: _Layout, whole: _End, start: Range, id: str, pack: Pack) -> Plan:
    """Return the plan of a layout that is complete: nodes are numbered first, then joins, then scopes."""
    nodes, joins, scopes = len(layout.nodes), len(layout.joins), len(layout.scopes)
    longest = f"{id}.{nodes + joins + scopes}"
    if len(longest) > _ID:
        raise SignatureError(
            f"id={id!r} is too long for a workflow: {longest!r} has more than {_ID} characters"
        )

    def name(of: _Node | _Join | _Scope | _End | None) -> str:
        match of:
            case _Node():
                return f"{id}.{of.number}"
            case _Join():
                return f"{id}.{nodes + of.number}"
            case _Scope():
                return f"{id}.{nodes + joins + of.number}"
            case _:
                raise AssertionError("a part of a workflow has no end")

    def maybe(of: _Join | _Scope | None) -> str | None:
        return None if of is None else name(of)

    def place(into: _Into | None) -> Place | None:
        return None if into is None else Place(name(into[0]), into[1])

    def message(node: _Node) -> Message:
        takes = node.takes
        source = ERROR + name(takes.end) if isinstance(takes, _Scope) else maybe(takes)
        return pack(node.call, name(node), source)

    return Plan(
        id,
        tuple(Node(message(n), place(n.into), maybe(n.scope)) for n in layout.nodes),
        tuple(
            Join(name(j), j.size, j.single, j.then, place(j.into), j.shown, maybe(j.frees), maybe(j.scope))
            for j in layout.joins
        ),
        tuple(Scope(name(s), name(s.end), s.then, place(s.into), maybe(s.around)) for s in layout.scopes),
        start,
        name(whole.end),
        tuple(name(join) for join in layout.full),
    )


def _made(call: Signature, around: _Around) -> Signature:
    """Return the call of a node, with what it has from the wholes it is part of."""
    made = around.inherits.given_to(call)
    if not around.on_success:
        return made
    return made.model_copy(update={"on_success": (*made.on_success, *around.on_success)})


def _is_open(call: Signature) -> bool:
    """Tell whether a call takes what comes before it."""
    return call.takes != "none" and not call.immutable

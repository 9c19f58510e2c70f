"""Layout: a workflow laid out as nodes, joins and scopes that point at each other. Pure.

What is released together is numbered in a row, so whatever follows a join is one range. Parts are
therefore entered release by release, in the order in which they are met, and not branch by branch; the
stack grows with how deep a workflow is nested and never with how long or wide it is.

    what ends a part      a node, or the join of its group
    where its value goes  into its group's join, or it begins what follows, through a join of one
    where its error goes  into the same join, where an error is a value there; else its scope closes

An error is a value in a group that nobody takes values from: it is not followed by anything, not in a
chord, and no callbacks were given to it or to what it ends. Of a chord that collects errors it is one
too, each member ending as one value or one error. Everywhere else the first failure decides.

The first scope is around all of it. A workflow that runs in place of a task has a join around all of it too.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from aioqueue.errors import SignatureError
from aioqueue.models.signature import Signature
from aioqueue.models.workflow import NOTHING, Chain, Chord, Group, Inheritance, Workflow
from aioqueue.outline import Outline
from aioqueue.protocols.flow import Range

DEEPEST: Final = 100
"""Workflows within workflows; as deep as their JSON can be read."""


@dataclass(frozen=True, slots=True)
class Stead:
    """The task in whose place a workflow runs, and the calls it releases when it ends so or so."""

    task: str
    on_success: tuple[Signature, ...] = ()
    on_error: tuple[Signature, ...] = ()


@dataclass(slots=True, eq=False)
class LaidNode:
    call: Signature
    number: int
    takes: LaidJoin | LaidScope | None
    into: Into | None
    scope: LaidScope | None


@dataclass(slots=True, eq=False)
class LaidJoin:
    size: int
    single: bool = False
    then: Range = field(default_factory=Range)
    into: Into | None = None
    shown: bool = False
    frees: LaidJoin | None = None
    scope: LaidScope | None = None
    task: str | None = None
    number: int = 0


@dataclass(slots=True, eq=False)
class End:
    """Waits to be told what ends a part. shows: for the sake of its record."""

    end: LaidNode | LaidJoin | None = None
    shows: bool = True


@dataclass(slots=True, eq=False)
class LaidScope(End):
    """Decides the end of its part."""

    into: Into | None = None
    around: LaidScope | None = None
    task: str | None = None
    then: Range = field(default_factory=Range)
    first: int | None = None
    hangs: LaidJoin | LaidScope | None = None
    number: int = 0


Into = tuple[LaidJoin, int]


@dataclass(frozen=True, slots=True)
class Around:
    """What a part finds where it is put.

    into: where its value goes. after: what it begins instead. ends: who is told what ends it. scope:
    what closes when it fails; with *catches* its error goes where its value goes. consumed: somebody
    takes its value, or it is part of what is decided as a whole. collects: its members' errors are
    values. takes: what its first calls take; frees: what nobody reads any more once it has ended.
    trigger: what fills it, where it has no nodes. inherits: what its calls have from the
    wholes around. on_success: calls of all wholes that it ends. outline: where it is written down.
    whole: it is all there is in its scope.
    """

    into: Into | None = None
    after: _Step | None = None
    ends: tuple[End, ...] = ()
    scope: LaidScope | None = None
    catches: bool = False
    consumed: bool = False
    collects: bool = False
    takes: LaidJoin | LaidScope | None = None
    frees: LaidJoin | None = None
    trigger: LaidJoin | None = None
    inherits: Inheritance = NOTHING
    on_success: tuple[Signature, ...] = ()
    outline: Outline = field(default_factory=Outline)
    whole: bool = False
    depth: int = 0

    def inside(self, whole: Workflow[Any]) -> Around:
        """Return what the parts of *whole* find."""
        if self.depth == DEEPEST:
            raise SignatureError(f"{whole.name}: workflows are nested more than {DEEPEST} deep")
        return replace(
            self,
            consumed=self.consumed or bool(whole.on_success or whole.on_error),
            inherits=self.inherits.within(whole),
            on_success=(*whole.on_success, *self.on_success),
            outline=self.written(whole.name),
            depth=self.depth + 1,
        )

    def written(self, kind: str) -> Outline:
        """Return the outline of what is put here, begun."""
        begun: Outline = [kind]
        self.outline.append(begun)
        return begun


@dataclass(frozen=True, slots=True)
class _Run:
    """Steps of a chain, or group and callback of a chord, and what is around all of them."""

    steps: tuple[Signature, ...]
    around: Around
    scope: LaidScope
    collects: bool = False


@dataclass(frozen=True, slots=True)
class _Step:
    """A step of a run, by its number, that is entered once the one before has ended."""

    run: _Run
    at: int


@dataclass(frozen=True, slots=True)
class _Release:
    """Parts that are entered together: a step, and calls that stand alone; *owner* releases them."""

    owner: LaidJoin | LaidScope
    step: _Step | None = None
    calls: tuple[Signature, ...] = ()
    outline: Outline = field(default_factory=Outline)


class Layout:
    """Nodes, joins and scopes in the making; ids are given when all of them are known."""

    def __init__(self) -> None:
        self.nodes: list[LaidNode] = []
        self.joins: list[LaidJoin] = []
        self.scopes: list[LaidScope] = []
        self.full: list[LaidJoin] = []
        self._releases: deque[_Release] = deque()
        self._empty: dict[int, bool] = {}

    def begin(self, stead: Stead | None) -> Around:
        """Return what the whole finds."""
        outline: Outline = []
        root = self._scope(Around(outline=outline))
        around = Around(ends=(root,), scope=root, outline=outline, whole=True)
        if stead is None:
            return around
        root.task = stead.task
        join = self._join(LaidJoin(1, single=True, scope=root, task=stead.task))
        if stead.on_success:
            self._release_alone(join, stead.on_success, outline)
        if stead.on_error:
            self._release_alone(root, stead.on_error, outline)
        # whatever it is made of, it has one value
        return replace(around, into=(join, 0), consumed=True, whole=not stead.on_error)

    def since(self, first: int) -> Range:
        """Return the range of the nodes from number *first* on."""
        count = len(self.nodes) - first
        return Range(first, count) if count else Range()

    def finish(self) -> None:
        """Enter all that is released later on."""
        while self._releases:
            release = self._releases.popleft()
            owner, first = release.owner, len(self.nodes)
            if release.step is not None and isinstance(owner, LaidJoin):
                frees = None if release.calls or owner.shown else owner
                around = release.step.run.around
                here = replace(around, takes=owner, frees=frees, trigger=owner)
                # when the whole starts is said of what begins it
                here = replace(here, inherits=around.inherits.later())
                self._go_on(release.step, here)
            self._alone(release.calls, owner, release.outline)
            owner.then = self.since(first)

    def enter(self, call: Signature, around: Around) -> None:
        """Enter a part: what starts of it is added to the release that is being made."""
        match call:
            case Chain():
                self._enter_run(call, around)
            case Chord():
                self._enter_run(call, around, collects=call.errors == "collect")
            case Group():
                self._enter_group(call, around)
            case _:
                self._enter_call(call, around, around.into)

    def _enter_call(self, call: Signature, around: Around, into: Into | None) -> None:
        if call.id is not None:
            raise SignatureError(
                f"{call.name}: a call that a workflow releases gets its id from it; leave out id={call.id!r}"
            )
        # an error is told in the context too, whatever a call takes
        takes = around.takes if _is_open(call) or isinstance(around.takes, LaidScope) else None
        if call.takes in ("last", "first") and _is_open(call) and around.takes is None:
            raise SignatureError(
                f"{call.name}: it wants a previous result and nothing comes before it; "
                "make the first call of a workflow complete, with .s(...)"
            )
        scope, ends = around.scope, around.ends
        if around.catches:
            scope = self._scope(around)
            ends = (*ends, scope)
        node = LaidNode(_made(call, around), len(self.nodes), takes, into, scope)
        self.nodes.append(node)
        while scope is not None and scope.first is None:
            scope.first, scope = node.number, scope.around
        around.outline.append(node.number)
        if around.after is not None:
            join = self._join(LaidJoin(1, single=True, frees=around.frees, scope=around.after.run.scope))
            node.into = (join, 0)
            self._releases.append(_Release(join, around.after))
        for end in ends:
            end.end = node

    def _enter_group(self, call: Group[Any], around: Around) -> None:
        here = around.inside(call)
        catches = here.collects or not here.consumed
        scope = here.scope
        join = self._join(LaidJoin(len(call.members), into=here.into, frees=here.frees))
        # a group with a record has a scope of its own, by which it can be cancelled
        if here.catches or scope is None or (call.on_error and not catches):
            scope = self._scope(here, call.on_error)
            scope.end = join
        join.scope = scope
        join.shown = scope is not here.scope or not here.consumed or any(end.shows for end in here.ends)
        for end in here.ends:
            end.end = join
        # a member that catches makes the scope of its own, where it is known what ends it
        inner = replace(here, after=None, ends=(), scope=scope, catches=catches, collects=False)
        inner = replace(inner, frees=None, trigger=None, on_success=(), whole=False)
        for number, member in enumerate(call.members):
            if catches or isinstance(member, Workflow):
                trigger = here.trigger if number == 0 else None
                self.enter(member, replace(inner, into=(join, number), trigger=trigger))
            else:
                self._enter_call(member, inner, (join, number))
        self._follow(call, join, here)

    def _follow(self, call: Group[Any], join: LaidJoin, around: Around) -> None:
        """Arrange for what comes after a group, whose members have been entered."""
        if not self._is_empty(call) or around.trigger is not None:
            if not call.members and around.trigger is not None:
                around.trigger.into = (join, 0)
            if around.after is not None:
                self._releases.append(_Release(join, around.after, around.on_success, around.outline))
            elif around.on_success:
                self._release_alone(join, around.on_success, around.outline)
            return
        # full as soon as it is reached: what follows is released by whatever reaches it
        if not call.members:
            self.full.append(join)
        self._alone(around.on_success, join, around.outline)

    def _enter_run(self, call: Workflow[Any], around: Around, *, collects: bool = False) -> None:
        here = around.inside(call)
        scope = self._scope(here, call.on_error)
        inner = replace(here, scope=scope, catches=False, collects=False, whole=False)
        inner = replace(inner, ends=(*here.ends, scope))
        self._go_on(_Step(_Run(call.calls, inner, scope, collects), 0), inner)

    def _go_on(self, step: _Step, here: Around) -> None:
        """Enter the steps of a run up to the first that has to be waited for."""
        run, last = step.run, len(step.run.steps) - 1
        within = replace(here, consumed=True, into=None, ends=(), on_success=(), trigger=None)
        for at in range(step.at, last):
            call, seen = run.steps[at], End(shows=False)
            inner = replace(within, takes=here.takes, collects=run.collects)
            if not self._is_empty(call):
                self.enter(call, replace(inner, after=_Step(run, at + 1)))
                return
            # it is full already, when nothing it could free has even begun
            self.enter(call, replace(inner, after=None, ends=(seen,), frees=None))
            here = replace(here, takes=cast(LaidJoin, seen.end))
        trigger = here.trigger if self._is_empty(run.steps[last]) else None
        self.enter(run.steps[last], replace(here, trigger=trigger))

    def _release_alone(
        self, owner: LaidJoin | LaidScope, calls: tuple[Signature, ...], outline: Outline
    ) -> None:
        """Arrange for calls that *owner* releases and nothing waits for."""
        self._releases.append(_Release(owner, calls=calls, outline=outline))

    def _alone(self, calls: tuple[Signature, ...], takes: LaidJoin | LaidScope, outline: Outline) -> None:
        """Enter calls that nothing waits for."""
        if calls:
            kind = "on_error" if isinstance(takes, LaidScope) else "on_success"
            here = Around(takes=takes, outline=outline)
            here = replace(here, outline=here.written(kind))
            for call in calls:
                # by it is told what will never be called
                scope = self._scope(Around())
                scope.hangs = takes
                self.enter(call, replace(here, scope=scope, ends=(scope,), whole=True))

    def _join(self, join: LaidJoin) -> LaidJoin:
        join.number = len(self.joins)
        self.joins.append(join)
        return join

    def _scope(self, around: Around, on_error: tuple[Signature, ...] = ()) -> LaidScope:
        """Return the scope of what stands in *around*: a new one, unless the one there is for it alone."""
        scope = around.scope if around.whole else None
        if scope is None:
            into = around.into if around.catches else None
            scope = LaidScope(into=into, around=around.scope, number=len(self.scopes))
            self.scopes.append(scope)
        if on_error:
            self._release_alone(scope, on_error, around.outline)
        return scope

    def _is_empty(self, call: Signature) -> bool:
        """Tell whether a part waits for no node at all."""
        if not isinstance(call, Workflow):
            return False
        if id(call) not in self._empty:
            self._empty[id(call)] = all(self._is_empty(inner) for inner in call.calls)
        return self._empty[id(call)]


def _made(call: Signature, around: Around) -> Signature:
    """Return the call of a node, with what it has from the wholes it is part of."""
    made = around.inherits.given_to(call)
    if not around.on_success:
        return made
    return made.model_copy(update={"on_success": (*made.on_success, *around.on_success)})


def _is_open(call: Signature) -> bool:
    """Tell whether a call takes what comes before it."""
    return call.takes != "none" and not call.immutable

"""Canvas: compiles a workflow into a plan: flat nodes, joins and scopes, with ids and messages. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from aioqueue.errors import SignatureError
from aioqueue.layout import End, Into, LaidJoin, LaidNode, LaidScope, Layout, Stead
from aioqueue.models.signature import Signature
from aioqueue.outline import Outline, brief
from aioqueue.protocols.flow import PAGE, Join, Node, Place, Range, Scope
from aioqueue.protocols.messages import Message

Pack = Callable[[Signature, str, str | None], Message]
"""Makes a node's message of its call, its id, and where what it takes is read."""

ERROR: Final = "error:"
"""Put before the id of a scope, where a node takes the error that closed it and no join's value."""

_ID: Final = 128


@dataclass(frozen=True, slots=True)
class Plan:
    """A workflow as stores keep it.

    start: nodes that are released once all of it is stored. result: id of the record that is the
    outcome of the whole: its last node's or its last join's. full: joins of size 0 that wait for nothing
    and are full from the start: what a store does of a join that is full it does of them once the plan is
    stored; that may fill other joins, and releases nothing. A join of size 0 that is not among them
    is full when something is put into it, and its value is the empty list all the same. root: the scope
    around all of it. digest: what tells it from another workflow of its id, where one may come. ttl: seconds
    that is shown which it comes to before any node has ended.
    """

    id: str
    nodes: tuple[Node, ...]
    joins: tuple[Join, ...]
    scopes: tuple[Scope, ...]
    start: Range
    result: str
    full: tuple[str, ...] = ()
    root: str = ""
    digest: str = ""
    ttl: float = 3600.0
    outline: Outline = field(default_factory=Outline, compare=False)

    @property
    def starting(self) -> tuple[Node, ...]:
        """The nodes that are released when it is opened."""
        return self.nodes[self.start.first : self.start.first + self.start.count]


def compiled(workflow: Signature, *, id: str, pack: Pack, stead: Stead | None = None) -> Plan:
    """Return the plan of *workflow*, whose nodes, joins and scopes have ids ``<id>.<n>``.

    stead: the task that goes on as it. Raises SignatureError, and what *pack* raises.
    """
    layout = Layout()
    around = layout.begin(stead)
    # the id of the whole is the plan's
    layout.enter(workflow.model_copy(update={"id": None}), around)
    start = layout.since(0)
    layout.finish()
    writing, root = _Writing(layout, id, pack), layout.scopes[0]
    nodes = list(map(writing.node, layout.nodes))
    then = [*(join.then for join in layout.joins), *(scope.then for scope in layout.scopes)]
    for released in (start, *then):
        _mark_queues(nodes, released)
    return Plan(
        id,
        tuple(nodes),
        tuple(map(writing.join, layout.joins)),
        tuple(map(writing.scope, layout.scopes)),
        start,
        writing.name(root.end),
        tuple(map(writing.name, layout.full)),
        writing.name(root),
        outline=brief(around.outline),
    )


def _mark_queues(nodes: list[Node], released: Range) -> None:
    """Write down in which queues a long range is to wait: the rest of it must not hang on one."""
    first, end = released.first, released.first + released.count
    if released.count > PAGE:
        queues = tuple(dict.fromkeys(node.message.queue for node in nodes[first:end]))
        if len(queues) > 1:
            nodes[end - 1] = replace(nodes[end - 1], queues=queues[:PAGE])


class _Writing:
    """A layout that is complete, being written: nodes are numbered first, then joins, then scopes."""

    def __init__(self, layout: Layout, id: str, pack: Pack) -> None:
        self._id = id
        self._pack = pack
        self._joins = len(layout.nodes)
        self._scopes = self._joins + len(layout.joins)
        longest = f"{id}.{self._scopes + len(layout.scopes)}"
        if len(longest) > _ID:
            raise SignatureError(
                f"id={id!r} is too long for a workflow: {longest!r} has more than {_ID} characters"
            )

    def name(self, of: LaidNode | LaidJoin | LaidScope | End | None) -> str:
        match of:
            case LaidNode():
                return f"{self._id}.{of.number}"
            case LaidJoin():
                return f"{self._id}.{self._joins + of.number}"
            case LaidScope():
                return f"{self._id}.{self._scopes + of.number}"
            case _:
                raise AssertionError("a part of a workflow has no end")

    def node(self, of: LaidNode) -> Node:
        source = self._maybe(of.takes)
        if isinstance(of.takes, LaidScope):
            source = f"{ERROR}{source}"
        return Node(self._pack(of.call, self.name(of), source), self._place(of.into), self._maybe(of.scope))

    def join(self, of: LaidJoin) -> Join:
        into, frees, scope = self._place(of.into), self._maybe(of.frees), self._maybe(of.scope)
        return Join(self.name(of), of.size, of.single, of.then, into, of.shown, frees, scope, of.task)

    def scope(self, of: LaidScope) -> Scope:
        into, around = self._place(of.into), self._maybe(of.around)
        hangs = self._maybe(of.hangs)
        return Scope(self.name(of), self.name(of.end), of.then, into, around, of.task, of.first, hangs)

    def _maybe(self, of: LaidJoin | LaidScope | None) -> str | None:
        return None if of is None else self.name(of)

    def _place(self, into: Into | None) -> Place | None:
        return None if into is None else Place(self.name(into[0]), into[1])

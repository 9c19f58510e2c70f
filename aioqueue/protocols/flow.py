"""Flow: a workflow as stores keep it: flat nodes, joins and scopes, written before any of it runs.

Ids are ``<workflow>.<n>``, so what comes after is named by ranges of numbers, and neither width nor
depth makes one of them large. A store moves a workflow on in the same step that commits a task; it
looks at the shape only, never into calls or values. ``aioqueue.advance`` says how it moves.

- A node succeeds: its value is put into its join.
- A join is full: what comes after it is released, its record reads SUCCESS, and it is put into its own join.
- A node fails: its scope closes: the record it decides reads FAILURE and what is told of it is released;
  then its error is put into the scope's join, or the scope around it closes too. What is closed before any of
  it was released, by a cancel, is put into the join when its turn has come, and not before.
- A workflow may run in place of a task: what it comes to is what the task has come to, and where that one is
  a node, the workflow around it moves on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from aioqueue.protocols.messages import Message

PAGE = 200
"""Most nodes that are written, or released, in one step."""


@dataclass(frozen=True, slots=True)
class Range:
    """Nodes of one workflow, by their numbers: *count* of them from *first*."""

    first: int = 0
    count: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value goes: which join, and as which of its members, from 0."""

    join: str
    number: int


@dataclass(frozen=True, slots=True)
class Node:
    """A task of a workflow; its message waits with its record until the node is released.

    into: where its value goes. scope: what closes when it fails. queues: of the last node of a range that is
    larger than a page, those in which its nodes are to wait, if there are several; at most PAGE.
    """

    message: Message
    into: Place | None = None
    scope: str | None = None
    queues: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Join:
    """Waits for the values of *size* members; who has joined is a set of their numbers.

    single: its value is its one member's, and no list. then: nodes released when it is full. into: where
    its value goes then. shown: it has a record, which can be awaited. frees: a join nobody reads any
    more when this one is full. scope: in which it stands; once that is closed nobody joins. task: the one
    that succeeds with its value then, having gone on as this workflow.
    """

    id: str
    size: int
    single: bool = False
    then: Range = field(default_factory=Range)
    into: Place | None = None
    shown: bool = False
    frees: str | None = None
    scope: str | None = None
    task: str | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """What a failure inside it decides, once.

    fails: the record that then reads FAILURE. then: nodes released, which read the error from the scope.
    into: where the error goes as a value; without it the scope *around* closes too. task: the one that
    fails with it, having gone on as this workflow; the scope of that one is around this one. first: number of
    the first node inside it, if any: what is closed before that one comes up goes *into* when it does.
    hangs: the join or scope that calls all of it, of calls that stand alone; what waits inside reads
    CANCELLED as soon as that one can call it no more.
    """

    id: str
    fails: str | None = None
    then: Range = field(default_factory=Range)
    into: Place | None = None
    around: str | None = None
    task: str | None = None
    first: int | None = None
    hangs: str | None = None


class Kind(Enum):
    """What a member of a join has come to: a value, an error, or the values of another join."""

    VALUE = "v"
    ERROR = "e"
    JOIN = "j"


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a join. data: encoded by the codec; of a JOIN, the other join's id."""

    kind: Kind
    data: bytes

    @property
    def value(self) -> bytes | None:
        """Return the value, encoded, if it is one."""
        return self.data if self.kind is Kind.VALUE else None

    @property
    def join(self) -> str | None:
        """Return the id of the other join, if it is one."""
        return self.data.decode() if self.kind is Kind.JOIN else None


@dataclass(frozen=True, slots=True)
class Members:
    """Some members of a join of *size*, in order; None for each that has not joined."""

    size: int
    single: bool
    members: tuple[Member | None, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a workflow: at most PAGE nodes, PAGE joins and PAGE scopes.

    digest: what tells it from another workflow of its id, if that may come. keeper: who keeps it then, a name
    for one send alone, under which that may take it back.
    """

    nodes: tuple[Node, ...] = ()
    joins: tuple[Join, ...] = ()
    scopes: tuple[Scope, ...] = ()
    digest: str = ""
    keeper: str = ""

    @property
    def first(self) -> str | None:
        """Return the id of its first part; None if it is empty."""
        if self.nodes:
            return self.nodes[0].message.id
        if self.joins:
            return self.joins[0].id
        return self.scopes[0].id if self.scopes else None


@dataclass(frozen=True, slots=True)
class Opening:
    """How a workflow starts: the nodes that are released, and the joins that are full by then.

    workflow: its id. start: its first nodes. full: joins of size 0. result: the record that is the outcome
    of the whole. root: the scope around all of it. outline: how its nodes stand, for people; encoded. ttl:
    seconds that is shown which it comes to at once, as no node has brought that about.
    """

    workflow: str
    start: Range
    full: tuple[str, ...] = ()
    result: str = ""
    root: str = ""
    outline: bytes = b""
    ttl: float = 3600.0


@dataclass(frozen=True, slots=True)
class Opened:
    """The answer to an opening. started: not before. messages: to be published, being in another store."""

    started: bool
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Whole:
    """A workflow that was opened; the words are those of Opening."""

    result: str
    outline: bytes


OPEN = "aioqueue.open"
"""Name of the message that releases the rest of a range that is larger than a page; no task may have it.

A store makes it, and no record: id ``<workflow>.open.<first>``, the queue of the first node it stands
for, body ``<first> <count>``. To end its delivery with SUCCESS releases the next page, and leaves another
one if there is more. Where the nodes of the range are to wait in several queues there is one in each, with
a number after its id, as a queue may be served by nobody: the first that is ended releases, and the others
find it done. Each is left once.
"""

"""Advance: how a workflow moves on when a task of it has ended; for stores that keep rows.

It knows the shape and nothing else. Everything here happens inside one step of a store, and each
move is made once: who joins is a set, what is full or closed stays so.
"""

from __future__ import annotations

from typing import Protocol

from aioqueue.protocols.flow import Join, Kind, Member, Place, Range, Scope


class Shelf(Protocol):
    """The workflows of a store, inside one step."""

    def join(self, id: str) -> Join | None:
        """Return the join, or None if there is none, or nobody may join any more."""
        ...

    def put(self, place: Place, member: Member) -> int:
        """Write a member; return how many there are, or 0 if that one was there already."""
        ...

    def scope(self, id: str) -> Scope | None:
        """Return the scope, or None if there is none."""
        ...

    def close(self, id: str) -> bool:
        """Close a scope; False if it was closed before, or lies in a closed one."""
        ...

    def is_closed(self, id: str | None) -> bool:
        """Tell whether a scope, or one around it, is closed."""
        ...

    def release(self, owner: str, nodes: Range) -> None:
        """Release nodes of the workflow that *owner*, a join or a scope, belongs to."""
        ...

    def succeed(self, id: str) -> None:
        """Let the record of a join that is full read SUCCESS."""
        ...

    def fail(self, id: str, error: bytes) -> None:
        """Let a record read FAILURE, unless it is final."""
        ...

    def free(self, id: str) -> None:
        """Drop a join's values: nobody reads them any more."""
        ...


def succeeded(shelf: Shelf, into: Place | None, member: Member) -> None:
    """Put *member* where it belongs, and move on as far as that goes."""
    while into is not None:
        join = shelf.join(into.join)
        if join is None or shelf.is_closed(join.scope) or shelf.put(into, member) < join.size:
            return
        filled(shelf, join)
        into, member = join.into, Member(Kind.JOIN, join.id.encode())


def filled(shelf: Shelf, join: Join) -> None:
    """Do what is to be done when *join* is full."""
    if join.frees is not None:
        shelf.free(join.frees)
    if join.shown:
        shelf.succeed(join.id)
    if join.then.count:
        shelf.release(join.id, join.then)


def failed(shelf: Shelf, scope: str | None, error: bytes) -> None:
    """Close *scope* and those around it, up to one that takes the error as a value."""
    while scope is not None:
        found = shelf.scope(scope)
        if found is None or not shelf.close(scope):
            return
        if found.fails is not None:
            shelf.fail(found.fails, error)
        if found.then.count:
            shelf.release(found.id, found.then)
        if found.into is not None:
            succeeded(shelf, found.into, Member(Kind.ERROR, error))
            return
        scope = found.around

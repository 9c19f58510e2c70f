"""Advance: how a workflow moves on when a task of it has ended; for stores that keep rows.

It knows the shape and nothing else. Everything here happens inside one step of a store, and each
move is made once: who joins is a set, what is full or closed stays so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from aioqueue.codec import encode_error
from aioqueue.models.state import ErrorInfo, State
from aioqueue.protocols.flow import OPEN, PAGE, Join, Kind, Member, Opening, Place, Range, Scope
from aioqueue.protocols.messages import Ending, Message

_NULL: Final = b"null"
_DIGITS: Final = 9
_ERRORS: Final = {
    State.FAILURE: "TaskFailedError",
    State.CANCELLED: "TaskCancelledError",
    State.EXPIRED: "TaskExpiredError",
}


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

    def close(self, id: str, error: bytes | None) -> bool:
        """Close a scope; False if it was closed before, or lies in a closed one.

        error: kept for who is told of it, or takes it.
        """
        ...

    def is_closed(self, id: str | None) -> bool:
        """Tell whether a scope, or one around it, is closed.

        Around a workflow that runs in place of a task is the scope of that one.
        """
        ...

    def has_begun(self, scope: Scope) -> bool:
        """Tell whether the first node inside a scope was released; True where none is inside."""
        ...

    def release(self, owner: str, nodes: Range) -> Iterable[tuple[Place, bytes]]:
        """Release nodes of the workflow that *owner*, a join or a scope, belongs to.

        Return the errors of scopes that were closed before their first node, one of these, and where they go.
        """
        ...

    def succeed(self, id: str) -> None:
        """Let the record of a join that is full read SUCCESS."""
        ...

    def fail(self, id: str, error: bytes, state: State) -> None:
        """Let a record read FAILURE, or what *state* says, unless it is final."""
        ...

    def succeed_task(self, id: str, member: Member) -> Place | None:
        """Let a task that goes on as a workflow read SUCCESS with this as its value, unless it is final.

        Return where that goes.
        """
        ...

    def fail_task(self, id: str, error: bytes) -> str | None:
        """Let a task that goes on as a workflow read FAILURE, unless it is final.

        Return what closes then.
        """
        ...

    def free(self, id: str) -> None:
        """Drop a join's values: nobody reads them any more."""
        ...


def ended(shelf: Shelf, ending: Ending, *, into: Place | None, scope: str | None) -> None:
    """Move on from a node that has come to *ending*; a RETRY is no end."""
    if ending.state is State.SUCCESS:
        # without a value it is the value null
        succeeded(shelf, into, Member(Kind.VALUE, _NULL if ending.value is None else ending.value))
    elif ending.state.final:
        failed(shelf, scope, fault(ending))


def opened(shelf: Shelf, opening: Opening) -> None:
    """Start a workflow: what waits for nothing is full, and its first nodes are released."""
    for id in opening.full:
        join = shelf.join(id)
        if join is not None and not shelf.is_closed(join.scope):
            filled(shelf, join)
            succeeded(shelf, join.into, Member(Kind.JOIN, join.id.encode()))
    released(shelf, f"{opening.workflow}.0", opening.start)


def released(shelf: Shelf, owner: str, nodes: Range) -> None:
    """Release nodes; what was closed before its turn is put where its error belongs, now that it has come."""
    if nodes.count:
        for into, error in shelf.release(owner, nodes):
            succeeded(shelf, into, Member(Kind.ERROR, error))


def succeeded(shelf: Shelf, into: Place | None, member: Member) -> None:
    """Put *member* where it belongs, and move on as far as that goes."""
    while into is not None:
        join = shelf.join(into.join)
        if join is None or shelf.is_closed(join.scope) or shelf.put(into, member) < join.size:
            return
        filled(shelf, join)
        if join.task is not None:
            # its one member is what the task has come to
            into = shelf.succeed_task(join.task, member)
        else:
            into, member = join.into, Member(Kind.JOIN, join.id.encode())


def filled(shelf: Shelf, join: Join) -> None:
    """Do what is to be done when *join* is full."""
    if join.frees is not None:
        shelf.free(join.frees)
    if join.shown:
        shelf.succeed(join.id)
    released(shelf, join.id, join.then)


def failed(shelf: Shelf, scope: str | None, error: bytes, state: State = State.FAILURE) -> None:
    """Close *scope* and those around it, up to one that takes the error as a value.

    state: what the record reads that the first one decides.
    """
    while scope is not None:
        found = shelf.scope(scope)
        if found is None:
            return
        early = found.into is not None and not shelf.has_begun(found)
        if not shelf.close(scope, error if found.then.count or early else None):
            return
        if found.fails is not None:
            shelf.fail(found.fails, error, state)
        released(shelf, found.id, found.then)
        if found.into is not None:
            if not early:
                succeeded(shelf, found.into, Member(Kind.ERROR, error))
            return
        scope = found.around if found.task is None else shelf.fail_task(found.task, error)
        state = State.FAILURE


def paged(nodes: Range) -> tuple[Range, Range]:
    """Return the first page of a range, and the rest of it."""
    first = Range(nodes.first, min(nodes.count, PAGE))
    return first, Range(nodes.first + first.count, nodes.count - first.count)


def openers(workflow: str, rest: Range, first: Message, queues: Sequence[str] = ()) -> list[Message]:
    """Return the OPEN messages of the *rest* of a range, which begins with the node of *first*.

    queues: those in which its nodes are to wait, if there are several.
    """
    id, body = f"{workflow}.open.{rest.first}", f"{rest.first} {rest.count}".encode()
    return [
        Message(f"{id}.{at}" if at else id, OPEN, queue, body, priority=first.priority, tracked=False)
        for at, queue in enumerate(queues or (first.queue,))
    ]


def rest_of(message: Message) -> tuple[str, Range]:
    """Return the workflow and the nodes that an OPEN message stands for; none if it says nothing of sense."""
    workflow = message.id.rpartition(".open.")[0]
    first, _, count = message.body.decode(errors="replace").partition(" ")
    if not (first.isascii() and first.isdigit() and count.isascii() and count.isdigit()):
        return workflow, Range()
    return workflow, Range(int(first), int(count))


def numbered(id: str) -> tuple[str, int] | None:
    """Return workflow and number of an id that a node, join or scope may have; else None."""
    workflow, _, digits = id.rpartition(".")
    if not workflow or not digits.isascii() or not digits.isdigit() or len(digits) > _DIGITS:
        return None
    return None if digits != str(int(digits)) else (workflow, int(digits))


def cancelled(id: str, name: str) -> bytes:
    """Return the error of what was cancelled: a task by its name, or a whole workflow."""
    return encode_error(
        ErrorInfo(type="TaskCancelledError", message=f"{name} was cancelled", task_id=id, task_name=name)
    )


def fault(ending: Ending) -> bytes:
    """Return the error that a workflow goes on with after an ending without success."""
    if ending.error is not None:
        return ending.error
    message = ending.delivery.message
    info = ErrorInfo(
        type=_ERRORS[ending.state],
        message=f"{message.name} ended {ending.state}",
        task_id=message.id,
        task_name=message.name,
        attempt=message.attempt,
    )
    return encode_error(info)

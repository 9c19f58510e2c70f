"""Flow: workflows as the scripts take and return them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from aioqueue import advance
from aioqueue.adapters.redis.core import Access
from aioqueue.adapters.redis.link import Value
from aioqueue.adapters.redis.rows import milliseconds
from aioqueue.advance import numbered
from aioqueue.ids import is_name
from aioqueue.models.state import CancelOutcome, State
from aioqueue.protocols.flow import (
    Join,
    Kind,
    Member,
    Members,
    Node,
    Opened,
    Opening,
    Page,
    Place,
    Range,
    Scope,
    Whole,
)
from aioqueue.protocols.messages import Cancelled, Ending, Message

Row = Sequence[bytes]

_KINDS: Final = {kind.value: kind for kind in Kind}
_BATCH: Final = 200
_AGAIN: Final = 1


async def plan(access: Access, page: Page) -> list[str]:
    """Keep some of a workflow; return the ids of nodes that are tasks of their own.

    Raises QueueFullError at the maxmemory: nothing of it is kept then.
    """
    ids = [node.message.id for node in page.nodes]
    ids += [join.id for join in page.joins] + [scope.id for scope in page.scopes]
    for id in ids:
        if numbered(id) is None:
            raise ValueError(f"{id!r} is not <workflow>.<number>")
    args: list[Value] = [f"{len(page.nodes)} {len(page.joins)} {page.digest} {page.keeper}"]
    for node in page.nodes:
        args += _node(node)
    for join in page.joins:
        args += _join(join)
    for scope in page.scopes:
        args += _scope(scope)
    return [id.decode() for id in await access.sending("plan", *args)] if len(args) > 1 else []


async def start(access: Access, opening: Opening) -> bool:
    """Open a workflow whose messages are in this store; False if it was open. Raises as ``plan``."""
    first: int = await access.sending("start", starting(opening), opening.outline)
    return first == 1


async def opened(access: Access, opening: Opening) -> Opened:
    """Open a workflow whose messages are in another store."""
    started, rows = await access.sending("open", starting(opening), opening.outline)
    return Opened(started == 1, tuple(messages(rows)))


async def whole(access: Access, id: str) -> Whole | None:
    """Return a workflow that was opened."""
    found = await access.script("workflow", id)
    return Whole(found[0].decode(), found[1]) if found else None


async def cancel(
    access: Access, ids: Sequence[str], *, ttl: float, waiting: bool = False
) -> list[CancelOutcome]:
    """Cancel tasks, nodes and whole workflows whose messages are in this store. waiting: not what runs."""
    words = await _cancelling(access, "cancel", ids, ttl, waiting)
    return [CancelOutcome(word.decode()) for word in words]


async def revoke(access: Access, ids: Sequence[str], *, ttl: float, waiting: bool = False) -> list[Cancelled]:
    """Cancel tasks, nodes and whole workflows whose messages are in another store."""
    return [
        Cancelled(CancelOutcome(word.decode()), tuple(messages(rows)))
        for word, rows in await _cancelling(access, "revoke", ids, ttl, waiting)
    ]


async def _cancelling(
    access: Access, script: str, ids: Sequence[str], ttl: float, waiting: bool
) -> list[Any]:
    answers: list[Any] = []
    for first in range(0, len(ids), _BATCH):
        # what can be no name is nobody's
        batch = [id if is_name(id) else "" for id in ids[first : first + _BATCH]]
        args: list[Value] = [milliseconds(ttl), 0, int(waiting)]
        for id, name in zip(batch, await access.script("names", *batch), strict=True):
            args += (id, advance.cancelled(id, name.decode() or "the workflow"))
        answers += await access.script(script, *args, again=_AGAIN)
    return answers


def messages(rows: Sequence[Row]) -> list[Message]:
    """Return the messages that a script released, to be published in another store."""
    return [_message(*row) for row in rows]


def members(row: Sequence[int | bytes | None]) -> Members | None:
    """Return what ``members`` read."""
    match row:
        case [int(size), int(single), *found]:
            return Members(size, single == 1, tuple(map(_member, found)))
        case _:
            return None


def starting(opening: Opening) -> str:
    """Return an opening as scripts take it, without its outline."""
    start = f"{_range(opening.start)} {milliseconds(opening.ttl)}"
    lines = (opening.workflow, opening.root, opening.result, start)
    return " ".join(("\n".join(lines), *opening.full))


def came_to(ending: Ending) -> tuple[Value, Value]:
    """Return value and error of an ending as scripts take them: of one that opens, how."""
    if ending.opening is not None:
        return starting(ending.opening), ending.opening.outline
    return ending.value or b"", fault(ending)


def fault(ending: Ending) -> bytes:
    """Return the error that a workflow goes on with, where a node has come to none of its own."""
    if ending.error is not None or not ending.state.final or ending.state is State.SUCCESS:
        return ending.error or b""
    return advance.fault(ending)


def _node(node: Node) -> tuple[Value, ...]:
    m = node.message
    eta = 0 if m.eta is None else milliseconds(m.eta)
    meta = (
        f"{m.attempt} {m.hop} {m.priority} {m.tracked:d} {eta} {milliseconds(m.delay)} {m.sent!r}"
        f" {'-' if m.eta is None else repr(m.eta)} {m.delay!r}"
    )
    place = f"{_place(node.into)} {node.scope or ''}"
    return m.id, m.name, m.queue, meta, m.body, place, " ".join(node.queues)


def _join(join: Join) -> tuple[Value, ...]:
    meta = f"{join.size} {join.single:d} {join.shown:d} {_range(join.then)}"
    return join.id, meta, _place(join.into), join.frees or "", join.scope or "", join.task or ""


def _scope(scope: Scope) -> tuple[Value, ...]:
    into, first = _place(scope.into), "" if scope.first is None else scope.first
    then, task, around = _range(scope.then), scope.task or "", scope.around or ""
    return scope.id, scope.fails or "", then, into, task, around, f"{first} {scope.hangs or ''}"


def _range(nodes: Range) -> str:
    return f"{nodes.first} {nodes.count}"


def _place(place: Place | None) -> str:
    return " " if place is None else f"{place.join} {place.number}"


def _message(id: bytes, name: bytes, queue: bytes, meta: bytes, body: bytes) -> Message:
    attempt, hop, priority, tracked, _, _, sent, eta, delay = meta.split()
    return Message(
        id=id.decode(),
        name=name.decode(),
        queue=queue.decode(),
        body=body,
        attempt=int(attempt),
        hop=int(hop),
        priority=int(priority),
        eta=None if eta == b"-" else float(eta),
        delay=float(delay),
        tracked=tracked == b"1",
        sent=float(sent),
    )


def _member(found: int | bytes | None) -> Member | None:
    if not isinstance(found, bytes):
        return None
    return Member(_KINDS[found[:1].decode()], found[1:])

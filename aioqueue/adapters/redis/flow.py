"""Flow: workflows as the scripts take and return them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aioqueue import advance
from aioqueue.adapters.redis.core import Access
from aioqueue.adapters.redis.link import Value
from aioqueue.adapters.redis.rows import milliseconds
from aioqueue.advance import numbered
from aioqueue.models.state import State
from aioqueue.protocols.flow import Join, Kind, Member, Members, Node, Opening, Page, Place, Range, Scope
from aioqueue.protocols.messages import Ending, Message

Row = Sequence[bytes]

_KINDS: Final = {kind.value: kind for kind in Kind}


async def plan(access: Access, page: Page) -> None:
    """Keep some of a workflow. Raises QueueFullError at the maxmemory: nothing of it is kept then."""
    ids = [node.message.id for node in page.nodes]
    ids += [join.id for join in page.joins] + [scope.id for scope in page.scopes]
    for id in ids:
        if numbered(id) is None:
            raise ValueError(f"{id!r} is not <workflow>.<number>")
    args: list[Value] = [f"{len(page.nodes)} {len(page.joins)}"]
    for node in page.nodes:
        args += _node(node)
    for join in page.joins:
        args += _join(join)
    for scope in page.scopes:
        args += _scope(scope)
    if len(args) > 1:
        await access.sending("plan", *args)


async def start(access: Access, opening: Opening) -> None:
    """Open a workflow whose messages are in this store. Raises as ``plan``."""
    await access.sending("start", *_starting(opening), *opening.full)


async def opened(access: Access, opening: Opening) -> list[Message]:
    """Open a workflow whose messages are in another store; return what is to be published."""
    return messages(await access.sending("open", *_starting(opening), "", *opening.full))


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
    return m.id, m.name, m.queue, meta, m.body, f"{_place(node.into)} {node.scope or ''}"


def _join(join: Join) -> tuple[Value, ...]:
    meta = f"{join.size} {join.single:d} {join.shown:d} {_range(join.then)}"
    return join.id, meta, _place(join.into), join.frees or "", join.scope or ""


def _scope(scope: Scope) -> tuple[Value, ...]:
    return scope.id, scope.fails or "", _range(scope.then), _place(scope.into), scope.around or ""


def _range(nodes: Range) -> str:
    return f"{nodes.first} {nodes.count}"


def _place(place: Place | None) -> str:
    return " " if place is None else f"{place.join} {place.number}"


def _starting(opening: Opening) -> tuple[Value, ...]:
    return opening.workflow, opening.start.first, opening.start.count


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

"""Rows: messages, deliveries and records as the scripts take and return them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from aioqueue.adapters.redis.link import Value
from aioqueue.errors import BackendUnavailableError
from aioqueue.models.state import State
from aioqueue.protocols.messages import Attempt, Delivery, Message, Record, When
from aioqueue.protocols.unique import Unique


class Receipt(NamedTuple):
    """Where a held message stands. marked: it has a mark that drops copies of it."""

    place: str
    marked: bool


_EVER: Final = 10**14
_STATES: Final = {state.value.encode(): state for state in State}


def milliseconds(seconds: float) -> int:
    """Return *seconds* in milliseconds, rounded up: nothing happens before its time."""
    # less what a float may be off by; more than the server can reckon with is for ever
    return min(_EVER, math.ceil(seconds * 1000 - 0.01))


def message_args(messages: Sequence[Message]) -> list[Value]:
    """Return the five values of each message."""
    args: list[Value] = []
    facts, meta = None, ""
    for m in messages:
        # those that are sent together are alike, as a rule
        own = (m.attempt, m.hop, m.priority, m.tracked, m.eta, m.delay, m.sent)
        if own != facts:
            facts, meta = own, _meta(m)
        args += (m.id, m.name, m.queue, meta, m.body)
    return args


def _meta(m: Message) -> str:
    eta = 0 if m.eta is None else milliseconds(m.eta)
    delay = milliseconds(m.delay) if m.delay else 0
    return f"{m.attempt} {m.hop} {m.priority} {m.tracked:d} {eta} {delay} {m.sent!r}"


def claim_args(unique: Unique) -> tuple[str, str]:
    """Return a key, and how it is claimed, as scripts take them."""
    return unique.key, f"{unique.until_done:d} {milliseconds(unique.ttl)}"


def moment_args(when: When) -> tuple[int, int]:
    """Return eta and delay as scripts take them."""
    return 0 if when.eta is None else milliseconds(when.eta), milliseconds(when.delay)


def delivery(row: Sequence[bytes], *, at: float, begun: bool) -> Delivery:
    """Return what a row of ``fetch`` lends."""
    place, id, name, meta, body, losses = row
    head, _, sent = meta.rpartition(b" ")
    attempt, hop, priority, tracked, first_seen, marked = _head(head)
    queue = _text(place.split(b"/", 2)[2])
    # by position, which takes half as long; eta and delay are over
    message = Message(
        id.decode(), _text(name), queue, body, attempt, hop, priority, None, 0.0, tracked, float(sent)
    )
    return Delivery(message, Receipt(place.decode(), marked), at, first_seen, int(losses), begun)


def record(id: str, row: Sequence[bytes | None]) -> Record | None:
    """Return what a row of ``get`` tells; None for an empty one."""
    if not row:
        return None
    if row[0] == b"!":
        raise ValueError((row[1] or b"").decode())
    (
        state,
        attempt,
        name,
        queue,
        sent,
        due,
        begun,
        finished,
        worker,
        losses,
        value,
        error,
        plan,
        joined,
        *_,
    ) = row
    at = _STATES[state or b""]
    waits = not at.final and at is not State.STARTED
    return Record(
        id=id,
        name=(name or b"").decode(),
        queue=(queue or b"").decode(),
        state=at,
        attempt=int(attempt or 1),
        losses=int(losses or 0),
        sent=float(sent) if sent and sent != b"0.0" else None,
        started=_moment(begun),
        finished=_moment(finished) if at.final else None,
        due=_moment(due) if waits else None,
        worker=None if worker is None else worker.decode(),
        value=value,
        error=error,
        plan=None if plan is None else plan.decode(),
        joined=None if joined is None else joined.decode(),
    )


def ended(seen: Record, said: bytes) -> Record | None:
    """Return what has become of a record that has been *seen* open, as its end has told; None for no more."""
    head, _, value = said.partition(b"\n")
    parts = head.split(b" ", 4)
    if len(parts) != 5 or parts[0] != b"SUCCESS":
        return None
    _, begun, finished, losses, worker = parts
    try:
        return Record(
            id=seen.id,
            name=seen.name,
            queue=seen.queue,
            state=State.SUCCESS,
            losses=int(losses),
            sent=seen.sent,
            started=_moment(begun),
            finished=_moment(finished),
            worker=worker.decode(),
            value=value,
        )
    except ValueError:
        # a newer version's, perhaps: the record is read
        return None


def attempt(item: bytes) -> Attempt:
    """Return what an item of ``history`` tells."""
    head, _, rest = item.partition(b"\n")
    number, begun, ended, due, length = head.split(b" ")
    worker, error = rest[: int(length)], rest[int(length) :]
    return Attempt(
        number=int(number),
        error=error or None,
        worker=worker.decode() or None,
        started=_moment(begun or None),
        ended=moment(ended),
        next_at=_moment(due or None),
    )


Found = Record | None | Exception
"""A record, none, or why it cannot be read."""


def found(id: str, row: Sequence[bytes | None]) -> Found:
    """Return what a row of ``get`` tells, or why it tells nothing."""
    try:
        return record(id, row)
    except (KeyError, ValueError, UnicodeDecodeError) as exc:
        return BackendUnavailableError(f"the record of {id} cannot be read; is it a newer version's? {exc!r}")


def moment(value: Any) -> float:
    """Return Unix seconds of the milliseconds that a script returned."""
    return int(value) / 1000


def _moment(value: bytes | None) -> float | None:
    return None if value is None else int(value) / 1000


@lru_cache(maxsize=1024)
def _head(meta: bytes) -> tuple[int, int, int, bool, float | None, bool]:
    """Return what a meta says before the moment of sending, which most messages have alike."""
    attempt, hop, priority, tracked, _, seen, marked = meta.split()
    first_seen = None if seen == b"0" else int(seen) / 1000
    return int(attempt), int(hop), int(priority), tracked == b"1", first_seen, marked == b"1"


@lru_cache(maxsize=1024)
def _text(name: bytes) -> str:
    return name.decode()

"""Packing: what a call must be to be sent, and its message. Pure.

Moments are fixed here, once: a send that is repeated with the same ids runs nothing twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2s

from aioqueue import codec
from aioqueue.canvas import compiled
from aioqueue.errors import PayloadTooLargeError, SignatureError
from aioqueue.ids import RESERVED, derived_id
from aioqueue.json_values import json_fault
from aioqueue.models.settings import routed
from aioqueue.models.signature import Signature
from aioqueue.models.state import ErrorInfo
from aioqueue.models.workflow import Workflow
from aioqueue.protocols.messages import Message, Record
from aioqueue.uniqueness import is_unique, require_plain


@dataclass(frozen=True, slots=True)
class Packer:
    """Makes messages. max_payload: bytes of a body.

    queue: where calls go that name none, unless one of *routes*, from patterns of names to queues, says so.
    """

    queue: str
    max_payload: int
    routes: Mapping[str, str] = field(default_factory=dict[str, str])

    def message(
        self,
        signature: Signature,
        *,
        id: str,
        now: float,
        takes_from: str | None = None,
        error: ErrorInfo | None = None,
        beside: str | None = None,
    ) -> Message:
        """Return the first attempt of *signature* under *id*, sent at *now* (Unix seconds).

        takes_from: of a node of a workflow, what it reads before it runs. error: what it is called for, whose
        traceback is left out where the call is too large with it. beside: the queue of the task that
        releases it, where a workflow is started that names no queue: that one is served.
        Raises SignatureError, PayloadTooLargeError.
        """
        if signature.expires is not None and not isinstance(signature.expires, datetime):
            moment = datetime.fromtimestamp(now + signature.expires, UTC)
            signature = signature.model_copy(update={"expires": moment})
        body = codec.encode(signature, takes_from=takes_from, error=error)
        if len(body) > self.max_payload and error is not None:
            brief = error.model_copy(update={"traceback": None})
            body = codec.encode(signature, takes_from=takes_from, error=brief)
        if len(body) > self.max_payload:
            raise PayloadTooLargeError(
                f"{signature.name}: the call has {len(body)} bytes, max_payload is {self.max_payload}; "
                "send a reference to the data instead"
            )
        queue = signature.queue or self._unnamed(signature, beside)
        eta = None if signature.eta is None else signature.eta.timestamp()
        # by position, which takes half as long; its first attempt and leg
        priority, delay, kept = signature.priority, signature.delay, tracked(signature)
        return Message(id, signature.name, queue, body, 1, 0, priority, eta, delay, kept, now)

    def _unnamed(self, signature: Signature, beside: str | None) -> str:
        """Return where a call goes that names no queue."""
        if beside is not None and isinstance(signature, Workflow):
            return beside
        return (routed(self.routes, signature.name) if self.routes else None) or self.queue


def expiry(signature: Signature, now: float) -> float | None:
    """Return the moment, Unix seconds, from which a call that is sent at *now* is not started any more."""
    given = signature.expires
    return given.timestamp() if isinstance(given, datetime) else None if given is None else now + given


def tracked(signature: Signature) -> bool:
    """Tell whether the task has a record: all but those whose result nobody wants and that need none."""
    needed = signature.id is not None or signature.retry is not None
    return not signature.ignore_result or needed or is_unique(signature)


def checked(signature: Signature) -> Signature:
    """Return *signature* if its arguments are JSON and no name in it is reserved.

    Raises SignatureError naming the first that is not so.
    """
    if signature.name.startswith(RESERVED):
        raise SignatureError(f"{signature.name}: no task has such a name; {RESERVED}* is reserved")
    for i, value in enumerate(signature.args):
        if fault := json_fault(value):
            raise SignatureError(f"{signature.name}() argument {str(i)!r}: {fault}")
    for where, value in signature.kwargs.items():
        if fault := json_fault(value):
            raise SignatureError(f"{signature.name}() argument {where!r}: {fault}")
    # by its class first: a model's isinstance goes a long way
    if type(signature) is not Signature and isinstance(signature, Workflow):
        for call in signature.calls:
            checked(call)
    if signature.on_success or signature.on_error:
        for call in (*signature.on_success, *signature.on_error):
            checked(call)
    return signature


def require_releasable(call: Signature, id: str) -> None:
    """Raise SignatureError if a workflow that *call* would release, at any depth, cannot be compiled.

    id: of the call. What is released is given a value that stands for the one to come.
    """
    if not (call.on_success or call.on_error):
        return
    pending = deque(_released(call, id))

    def pack(call: Signature, node: str, source: str | None) -> Message:
        require_plain(call)
        pending.extend(_released(call, node))
        return Message(id=node, name=call.name, queue="", body=b"")

    while pending:
        released, own = pending.popleft()
        if isinstance(released, Workflow):
            compiled(released, id=own, pack=pack)
        else:
            pending.extend(_released(released, own))


def _released(call: Signature, id: str) -> Iterator[tuple[Signature, str]]:
    for kind, calls in (("s", call.on_success), ("e", call.on_error)):
        for n, after in enumerate(calls):
            require_plain(after)
            yield after.given(None, error=kind == "e"), after.id or derived_id(id, f"{kind}{n}")


def digest_of(call: Signature) -> str:
    """Return what tells *call* from any other, whatever its id."""
    data = codec.encode(call.model_copy(update={"id": None}))
    return blake2s(data, digest_size=6).hexdigest()


def record_of(message: Message) -> Record:
    """Return the PENDING record of a message that was not sent yet."""
    due = message.due(message.sent)
    return Record(message.id, message.name, message.queue, sent=message.sent, due=due, unique=message.unique)

"""Dispatch: from a Signature to a message in the store, one at a time or many.

Ids and moments are fixed here, once, before anything is written: a send that is repeated with
the same ids runs nothing twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from aioqueue import codec
from aioqueue.clock import Clock
from aioqueue.errors import (
    BrokerUnavailableError,
    PayloadTooLargeError,
    QueueFullError,
    SignatureError,
    UnavailableError,
)
from aioqueue.ids import new_id
from aioqueue.models.signature import R_co, Signature
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.broker import Broker
from aioqueue.protocols.finisher import Submitter
from aioqueue.protocols.messages import Message, Record
from aioqueue.results import AsyncResult, Reading, Results
from aioqueue.schema import json_fault


@dataclass(frozen=True, slots=True)
class Packer:
    """Makes messages. queue: where calls go that name none. max_payload: bytes of a body."""

    queue: str
    max_payload: int

    def message(self, signature: Signature, *, id: str, now: float) -> Message:
        """Return the first attempt of *signature* under *id*, sent at *now* (Unix seconds).

        Raises SignatureError, PayloadTooLargeError.
        """
        if isinstance(signature.expires, float | int):
            moment = datetime.fromtimestamp(now + signature.expires, UTC)
            signature = signature.model_copy(update={"expires": moment})
        body = codec.encode(signature)
        if len(body) > self.max_payload:
            raise PayloadTooLargeError(
                f"{signature.name}: the call has {len(body)} bytes, max_payload is {self.max_payload}; "
                "send a reference to the data instead"
            )
        return Message(
            id=id,
            name=signature.name,
            queue=signature.queue or self.queue,
            body=body,
            priority=signature.priority,
            eta=None if signature.eta is None else signature.eta.timestamp(),
            delay=signature.delay,
            tracked=tracked(signature),
            sent=now,
        )


def tracked(signature: Signature) -> bool:
    """Tell whether the task has a record: all but those whose result nobody wants and that need none."""
    return not signature.ignore_result or signature.id is not None or signature.retry is not None


def checked(signature: Signature) -> Signature:
    """Return *signature* if its arguments are JSON. Raises SignatureError naming the first that is not."""
    named = [*((str(i), value) for i, value in enumerate(signature.args)), *signature.kwargs.items()]
    for where, value in named:
        if fault := json_fault(value):
            raise SignatureError(f"{signature.name}() argument {where!r}: {fault}")
    for call in (*signature.on_success, *signature.on_error):
        checked(call)
    return signature


class TwoStepSubmitter:
    """Sends where broker and backend are separate stores: the record first, then the message.

    A crash in between leaves a PENDING record; sending again with the same id completes it. A limit
    is looked at a moment before, by what the broker counts: concurrent senders may pass it by a few,
    and what is known already is counted as if it were new.
    """

    def __init__(self, broker: Broker, backend: Backend) -> None:
        self._broker = broker
        self._backend = backend

    async def submit(self, messages: Sequence[Message], *, limit: int | None = None) -> Sequence[bool]:
        if limit is not None:
            await self._require_room(messages, limit)
        accepted = iter(
            await self._backend.put([record_of(message) for message in messages if message.tracked])
        )
        wanted = [not message.tracked or next(accepted) for message in messages]
        published = iter(
            await self._broker.publish([m for m, want in zip(messages, wanted, strict=True) if want])
        )
        return [want and next(published) for want in wanted]

    async def _require_room(self, messages: Sequence[Message], limit: int) -> None:
        new = Counter(message.queue for message in messages)
        for stats in await self._broker.stats(list(new)) if new else ():
            # what a service cannot count is taken for none
            held = sum(count or 0 for count in (stats.ready, stats.delayed, stats.held))
            if held + new[stats.queue] > limit:
                raise QueueFullError.of(stats.queue, limit=limit, held=held, new=new[stats.queue])


def record_of(message: Message) -> Record:
    """Return the PENDING record of a message that was not sent yet."""
    return Record(message.id, message.name, message.queue, sent=message.sent, due=message.due(message.sent))


class Dispatcher:
    """Sends calls, and hands out the results to await. limit: most tasks a queue may hold for that."""

    def __init__(
        self,
        submitter: Submitter,
        packer: Packer,
        results: Results,
        reading: Callable[[str], Reading],
        clock: Clock,
        *,
        limit: int | None = None,
    ) -> None:
        self._limit = limit
        self._submitter = submitter
        self._reading = reading
        self._packer = packer
        self._results = results
        self._clock = clock

    async def send_many(self, signatures: Sequence[Signature[R_co]]) -> list[AsyncResult[R_co]]:
        """Send calls in one step and return their results in order.

        Raises SignatureError, PayloadTooLargeError and QueueFullError before anything is written;
        BrokerUnavailableError carrying the results, when it is unknown whether they were sent.
        """
        now = self._clock.time()
        messages = [self._packer.message(call, id=call.id or new_id(), now=now) for call in signatures]
        results: list[AsyncResult[R_co]] = [
            AsyncResult(message.id, self._results, self._reading(message.name)) for message in messages
        ]
        try:
            answers = await self._submitter.submit(messages, limit=self._limit)
        except UnavailableError as exc:
            raise BrokerUnavailableError(
                f"it is unknown whether {len(messages)} calls were sent: {exc}; "
                "sending again with their ids is safe",
                results=results,
            ) from exc
        for result, created in zip(results, answers, strict=True):
            result.created = created
        return results

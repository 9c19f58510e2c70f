"""Dispatch: from a Signature to a message in the store, one at a time or many.

Ids and moments are fixed here, once, before anything is written: a send that is repeated with
the same ids runs nothing twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from aioqueue import codec
from aioqueue.canvas import Plan, compiled
from aioqueue.clock import Clock
from aioqueue.errors import (
    BrokerUnavailableError,
    PayloadTooLargeError,
    QueueFullError,
    SignatureError,
    UnavailableError,
)
from aioqueue.group_result import GroupResult
from aioqueue.ids import RESERVED, derived_id, new_id
from aioqueue.layout import Stead
from aioqueue.models.signature import R_co, Signature
from aioqueue.models.state import CancelOutcome
from aioqueue.models.workflow import WRITERS, Chain, Chord, Group, Workflow
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.broker import Broker
from aioqueue.protocols.finisher import Submitter
from aioqueue.protocols.flow import PAGE, Opening, Page
from aioqueue.protocols.messages import Message, Record
from aioqueue.results import AsyncResult, Reading, Results
from aioqueue.schema import json_fault


@dataclass(frozen=True, slots=True)
class Packer:
    """Makes messages. queue: where calls go that name none. max_payload: bytes of a body."""

    queue: str
    max_payload: int

    def message(self, signature: Signature, *, id: str, now: float, takes_from: str | None = None) -> Message:
        """Return the first attempt of *signature* under *id*, sent at *now* (Unix seconds).

        takes_from: of a node of a workflow, what it reads before it runs.
        Raises SignatureError, PayloadTooLargeError.
        """
        if isinstance(signature.expires, float | int):
            moment = datetime.fromtimestamp(now + signature.expires, UTC)
            signature = signature.model_copy(update={"expires": moment})
        body = codec.encode(signature, takes_from=takes_from)
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
    """Return *signature* if its arguments are JSON and no name in it is reserved.

    Raises SignatureError naming the first that is not so.
    """
    if signature.name.startswith(RESERVED):
        raise SignatureError(f"{signature.name}: no task has such a name; {RESERVED}* is reserved")
    named = [*((str(i), value) for i, value in enumerate(signature.args)), *signature.kwargs.items()]
    for where, value in named:
        if fault := json_fault(value):
            raise SignatureError(f"{signature.name}() argument {where!r}: {fault}")
    inner = signature.calls if isinstance(signature, Workflow) else ()
    for call in (*inner, *signature.on_success, *signature.on_error):
        checked(call)
    return signature


def require_releasable(call: Signature, id: str) -> None:
    """Raise SignatureError if a workflow that *call* would release, at any depth, cannot be compiled.

    id: of the call. What is released is given a value that stands for the one to come.
    """
    pending = deque(_released(call, id))

    def pack(call: Signature, node: str, source: str | None) -> Message:
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
            yield after.given(None, error=kind == "e"), after.id or derived_id(id, f"{kind}{n}")


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
            await require_room(self._broker, messages, limit)
        accepted = iter(
            await self._backend.put([record_of(message) for message in messages if message.tracked])
        )
        wanted = [not message.tracked or next(accepted) for message in messages]
        published = iter(
            await self._broker.publish([m for m, want in zip(messages, wanted, strict=True) if want])
        )
        return [want and next(published) for want in wanted]

    async def open_workflow(self, opening: Opening) -> bool:
        opened = await self._backend.open_workflow(opening)
        await self._broker.publish(opened.messages)
        return opened.started

    async def cancel(self, ids: Sequence[str], *, ttl: float) -> Sequence[CancelOutcome]:
        answers = await self._backend.cancel(ids, ttl=ttl)
        released = [message for answer in answers for message in answer.released]
        if released:
            await self._broker.publish(released)
        return [answer.outcome for answer in answers]


async def require_room(broker: Broker, messages: Iterable[Message], limit: int) -> None:
    """Raise QueueFullError if a queue would hold more than *limit* with messages that are new."""
    new = Counter(message.queue for message in messages)
    for stats in await broker.stats(list(new)) if new else ():
        # what a service cannot count is taken for none
        held = sum(count or 0 for count in (stats.ready, stats.delayed, stats.held))
        if held + new[stats.queue] > limit:
            raise QueueFullError.of(stats.queue, limit=limit, held=held, new=new[stats.queue])


def record_of(message: Message) -> Record:
    """Return the PENDING record of a message that was not sent yet."""
    return Record(message.id, message.name, message.queue, sent=message.sent, due=message.due(message.sent))


class Opener:
    """Starts workflows: they are compiled, kept page by page, and opened once all of it is kept."""

    def __init__(self, submitter: Submitter, backend: Backend, packer: Packer) -> None:
        self._submitter = submitter
        self._backend = backend
        self._packer = packer

    def compile(
        self,
        call: Signature[Any],
        *,
        id: str,
        now: float,
        stead: Stead | None = None,
        ahead: bool = False,
    ) -> Plan:
        """Return *call* as it is kept under *id*.

        stead: the task that goes on as it. ahead: look at what it releases later as well.
        Raises SignatureError, PayloadTooLargeError.
        """

        def pack(part: Signature, node: str, source: str | None) -> Message:
            if ahead:
                require_releasable(part, node)
            # what comes after it needs its value, whoever ignores it
            kept = part.model_copy(update={"ignore_result": False})
            return self._packer.message(kept, id=node, now=now, takes_from=source)

        return compiled(call, id=id, pack=pack, stead=stead)

    async def keep(self, plan: Plan, *, concurrency: int = WRITERS) -> None:
        """Keep a plan, at most *concurrency* pages of it at a time; safe to repeat.

        Raises UnavailableError, QueueFullError, SignatureError where a task has the id of one of its nodes.
        """
        left = deque(pages(plan))
        foreign: list[str] = []

        async def write() -> None:
            while left:
                try:
                    foreign.extend(await self._backend.plan(left.popleft()))
                except BaseException:
                    left.clear()
                    raise

        # whoever fails, the others are waited for
        ended = await asyncio.gather(
            *[write() for _ in range(min(concurrency, len(left)))], return_exceptions=True
        )
        for error in ended:
            if error is not None:
                raise error
        if foreign:
            raise SignatureError(
                f"id={plan.id!r}: there is a task {foreign[0]!r} already, as its nodes are called; "
                "choose another id for the workflow"
            )

    def opening(self, plan: Plan) -> Opening:
        """Return how a plan that is kept is started."""
        outline = codec.encode_value(plan.outline)
        return Opening(plan.id, plan.start, plan.full, plan.result, plan.root, outline)

    async def start(self, plan: Plan, *, concurrency: int = WRITERS) -> bool:
        """Keep a plan and start it, once all of it is kept; False if it was before. Safe to repeat.

        Raises as ``keep``.
        """
        await self.keep(plan, concurrency=concurrency)
        return await self._submitter.open_workflow(self.opening(plan))


def pages(plan: Plan) -> Iterator[Page]:
    """Return *plan* in pages."""
    longest = max(len(plan.nodes), len(plan.joins), len(plan.scopes))
    for first in range(0, longest, PAGE):
        part = slice(first, first + PAGE)
        yield Page(plan.nodes[part], plan.joins[part], plan.scopes[part])


class Dispatcher:
    """Sends calls, and hands out the results to await. limit: most tasks a queue may hold for that.

    Of a workflow those count that start at once; they are looked at a moment before, as in two stores.
    """

    def __init__(
        self,
        broker: Broker,
        submitter: Submitter,
        packer: Packer,
        results: Results,
        reading: Callable[[str], Reading],
        *,
        clock: Clock,
        limit: int | None = None,
    ) -> None:
        self._limit = limit
        self._broker = broker
        self._submitter = submitter
        self._reading = reading
        self._packer = packer
        self._results = results
        self._clock = clock

    @property
    def _opener(self) -> Opener:
        return Opener(self._submitter, self._results.required(), self._packer)

    async def send_many(
        self, signatures: Sequence[Signature[R_co]], *, concurrency: int = WRITERS
    ) -> list[AsyncResult[R_co]]:
        """Send calls and return their results in order: plain ones in one step, then each workflow.

        concurrency: pages of a workflow that are written at a time.
        Raises SignatureError, PayloadTooLargeError and QueueFullError before anything is written;
        BrokerUnavailableError carrying the results, when it is unknown whether they were sent.
        """
        if concurrency < 1:
            raise SignatureError(f"concurrency is {concurrency}; at least one page is written at a time")
        now = self._clock.time()
        ids = [call.id or new_id() for call in signatures]
        plans = {
            id: self._opener.compile(call, id=id, now=now, ahead=True)
            for call, id in zip(signatures, ids, strict=True)
            if isinstance(call, Workflow)
        }
        messages = [
            self._packed(call, id, now) for call, id in zip(signatures, ids, strict=True) if id not in plans
        ]
        results = [self._outcome(call, id, plans.get(id)) for call, id in zip(signatures, ids, strict=True)]
        created: dict[str, bool] = {}
        starting = [node.message for plan in plans.values() for node in plan.starting]
        try:
            if starting and self._limit is not None:
                await require_room(self._broker, [*messages, *starting], self._limit)
            answers = await self._submitter.submit(messages, limit=self._limit) if messages else ()
            for message, new in zip(messages, answers, strict=True):
                created[message.id] = new
            for plan in plans.values():
                created[plan.id] = await self._opener.start(plan, concurrency=concurrency)
        except UnavailableError as exc:
            raise BrokerUnavailableError(
                f"it is unknown whether {len(results)} calls were sent: {exc}; "
                "sending again with their ids is safe",
                results=results,
            ) from exc
        for result, id in zip(results, ids, strict=True):
            result.created = created.get(id)
        return results

    def _packed(self, call: Signature, id: str, now: float) -> Message:
        require_releasable(call, id)
        return self._packer.message(call, id=id, now=now)

    def _outcome(self, call: Signature[R_co], id: str, plan: Plan | None) -> AsyncResult[R_co]:
        """Return what is awaited under *id*: the call's result, or those of the group that ends it."""
        last, record = last_of(call), None if plan is None else plan.result
        if isinstance(last, Group):
            members = tuple(self._reading_of(member) for member in last.members)
            results: GroupResult[Any] = GroupResult(id, self._results, members, record=record)
            return cast("AsyncResult[R_co]", results)
        return AsyncResult(id, self._results, self._reading(last.name), record=record)

    def _reading_of(self, call: Signature[Any]) -> Reading:
        last = last_of(call)
        if not isinstance(last, Group):
            return self._reading(last.name)
        members = [self._reading_of(member) for member in last.members]
        return Reading(lambda values: [m.read(value) for m, value in zip(members, values, strict=True)])


def last_of(call: Signature[Any]) -> Signature[Any]:
    """Return the call or the group that ends *call*."""
    while isinstance(call, Chain | Chord):
        call = call.calls[-1]
    return call

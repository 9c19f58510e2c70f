"""Dispatch: from calls to what is written of them in the store, one at a time or many.

Ids are fixed here, once, before anything is written: a send that is repeated with the same ids
runs nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, Final, cast

from aioqueue.canvas import Plan
from aioqueue.clock import Clock
from aioqueue.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    QueueFullError,
    SignatureError,
    UnavailableError,
    UniqueConflictError,
)
from aioqueue.group_result import GroupResult
from aioqueue.ids import new_id, new_ids
from aioqueue.models.signature import R_co, Signature
from aioqueue.models.state import CancelOutcome, RescheduleOutcome, State
from aioqueue.models.workflow import WRITERS, Chain, Chord, Group, Workflow
from aioqueue.opener import Opener, TakenError
from aioqueue.packing import Packer, expiry, record_of, require_releasable
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.broker import Broker
from aioqueue.protocols.finisher import Submitter
from aioqueue.protocols.flow import Opening
from aioqueue.protocols.messages import Message, Record, When
from aioqueue.protocols.unique import Answer, Held
from aioqueue.results import AsyncResult, Reading, Results
from aioqueue.uniqueness import claim_of

_log = logging.getLogger("aioqueue.send")

_REPLACED: Final = 10
"""Tries at a unique key that others take again and again; then it is theirs."""

_SENDING: Final = 30.0
"""Seconds after a task was sent, and due, in which its sender is between record and message at the latest."""

_GREAT: Final = 500
"""Calls of a workflow from which it is compiled in a thread."""


class TwoStepSubmitter:
    """Sends where broker and backend are separate stores: the record first, then the message.

    A crash in between leaves a PENDING record; sending again with the same id completes it, and where the
    record has a unique key, so does a later call of that key that is to return its result. A limit is looked
    at a moment before, by what the broker counts: concurrent senders may pass it by a few, and what is known
    already is counted as if it were new.
    """

    def __init__(self, broker: Broker, backend: Backend) -> None:
        self._broker = broker
        self._backend = backend

    async def submit(self, messages: Sequence[Message], *, limit: int | None = None) -> Sequence[Answer]:
        if any(message.unique is not None and message.unique.collapse is not None for message in messages):
            raise ConfigurationError(
                "debounce= takes a broker that is the backend too, as the task that waits and its record are "
                "changed in one step; name one store, or use on_conflict='replace' and a delay"
            )
        if limit is not None:
            await require_room(self._broker, messages, limit)
        accepted = iter(await self._put([record_of(message) for message in messages if message.tracked]))
        wanted = [not message.tracked or next(accepted) for message in messages]
        new = [message for message, want in zip(messages, wanted, strict=True) if want]
        held: dict[str, Message] = {}
        for message, answer in zip(messages, wanted, strict=True):
            if isinstance(answer, Held) and message.unique is not None and message.unique.stands_in:
                held.setdefault(answer.id, message)
        published = iter(await self._broker.publish(new))
        answers: list[Answer] = [want and next(published) for want in wanted]
        if held and self._broker.capabilities.deduplicates and (left := await self._left_behind(held)):
            await self._broker.publish(left)
        return answers

    async def _left_behind(self, held: Mapping[str, Message]) -> list[Message]:
        """Return what is to be published of tasks whose senders may have died before they did.

        held: what was not accepted, by the tasks that have the keys. One that has been due for a while and is
        PENDING waits for a worker, and the broker drops the copy; or it was never published, and the call
        that came next is its.
        """
        try:
            records = await self._backend.get(list(held))
        except UnavailableError as exc:
            # the next call of the key looks again
            _log.debug("cannot tell whether tasks that have keys were sent: %s", exc)
            return []
        return [
            replace(message, id=id, queue=record.queue, unique=None)
            for (id, message), record in zip(held.items(), records, strict=True)
            if record is not None
            and record.state is State.PENDING
            and record.attempt == 1
            and record.name == message.name
            and message.sent - max(record.sent or 0.0, record.due or 0.0) > _SENDING
        ]

    async def _put(self, records: Sequence[Record]) -> Sequence[Answer]:
        """Put records; tasks whose keys they are to take over are cancelled first, and published is what
        that releases."""
        answers = list(await self._backend.put(records))
        for _ in range(_REPLACED):
            left: list[int] = []
            for at, (record, answer) in enumerate(zip(records, answers, strict=True)):
                ttl = None if record.unique is None else record.unique.replace
                if isinstance(answer, Held) and ttl is not None:
                    await self.cancel([answer.id], ttl=ttl)
                    left.append(at)
            if not left:
                break
            again = await self._backend.put([records[at] for at in left])
            for at, answer in zip(left, again, strict=True):
                answers[at] = answer
        return answers

    async def open_workflow(self, opening: Opening) -> bool:
        opened = await self._backend.open_workflow(opening)
        await self._broker.publish(opened.messages)
        return opened.started

    async def reschedule(self, id: str, when: When) -> RescheduleOutcome:
        answer = await self._backend.reschedule(id, when)
        if answer.outcome is not RescheduleOutcome.RESCHEDULED:
            return answer.outcome
        moved = await self._broker.reschedule(answer.queue, id, answer.attempt, when)
        return RescheduleOutcome.RESCHEDULED if moved else RescheduleOutcome.NOT_WAITING

    async def cancel(
        self, ids: Sequence[str], *, ttl: float, waiting: bool = False
    ) -> Sequence[CancelOutcome]:
        answers = await self._backend.cancel(ids, ttl=ttl, waiting=waiting)
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

    async def send(self, call: Signature[R_co], *, concurrency: int = WRITERS) -> AsyncResult[R_co]:
        """Send one call and return its result. Raises as ``send_many``."""
        if type(call) is not Signature and isinstance(call, Workflow):
            return (await self.send_many([call], concurrency=concurrency))[0]
        id, now = call.id or new_id(), self._clock.time()
        message = self._packed(call, id, now)
        result = self._result(call, id, now)
        try:
            (answer,) = await self._submitter.submit([message], limit=self._limit)
        except UnavailableError as exc:
            raise _unsure([result], exc) from exc
        if isinstance(answer, Held):
            if call.on_conflict == "raise":
                raise UniqueConflictError.of(call.name, task_id=answer.id)
            return self._held(call, result, answer.id)
        result.created = answer
        return result

    async def send_many(
        self, signatures: Sequence[Signature[R_co]], *, concurrency: int = WRITERS
    ) -> list[AsyncResult[R_co]]:
        """Send calls and return their results in order: plain ones in one step, then each workflow.

        concurrency: pages of a workflow that are written at a time.
        Raises SignatureError, PayloadTooLargeError and QueueFullError before anything is written;
        BrokerUnavailableError carrying the results, when it is unknown whether they were sent;
        UniqueConflictError, also carrying them, when all others were.
        """
        if concurrency < 1:
            raise SignatureError(f"concurrency is {concurrency}; at least one page is written at a time")
        now = self._clock.time()
        ids = [call.id or fresh for call, fresh in zip(signatures, new_ids(len(signatures)), strict=True)]
        plans: dict[str, Plan] = {}
        messages: list[Message] = []
        for call, id in zip(signatures, ids, strict=True):
            if type(call) is not Signature and isinstance(call, Workflow):
                plans[id] = await self._compiled(call, id, now)
            else:
                messages.append(self._packed(call, id, now))
        for id, count in Counter(ids).items() if plans else ():
            if count > 1 and id in plans:
                raise SignatureError(f"id={id!r}: several calls of one send have it, and one is a workflow")
        results = [
            self._outcome(call, id, plans.get(id), now) for call, id in zip(signatures, ids, strict=True)
        ]
        try:
            known = await self._known(call.id for call in signatures if call.id in plans) if plans else {}
            created = await self._sent(messages, list(plans.values()), known, concurrency)
        except UnavailableError as exc:
            raise _unsure(results, exc) from exc
        for result, id in zip(results, ids, strict=True):
            result.created = created.get(id) is True
            if id in known:
                result.known_as(known[id])
        held = {id: answer.id for id, answer in created.items() if answer is not True and answer is not False}
        return self._settled(signatures, results, held) if held else results

    def _settled(
        self, calls: Sequence[Signature[R_co]], results: list[AsyncResult[R_co]], held: Mapping[str, str]
    ) -> list[AsyncResult[R_co]]:
        """Return *results*, for calls whose keys others have what they are to have; or raise for them.

        held: which tasks have the keys, by the calls' ids.
        """
        settled = [
            self._held(call, result, held[result.id]) if result.id in held else result
            for call, result in zip(calls, results, strict=True)
        ]
        for call, result in zip(calls, results, strict=True):
            if call.on_conflict == "raise" and result.id in held:
                raise UniqueConflictError.of(call.name, task_id=held[result.id], results=settled)
        return settled

    def _held(self, call: Signature[R_co], result: AsyncResult[R_co], holder: str) -> AsyncResult[R_co]:
        """Return the result of a call whose key *holder* has: that one's, or its own, which will not come."""
        if call.on_conflict in ("return", "replace"):
            result = AsyncResult(holder, self._results, self._reading(call.name))
        result.created, result.held_by = False, holder
        return result

    async def _sent(
        self, messages: Sequence[Message], plans: Sequence[Plan], known: Container[str], concurrency: int
    ) -> dict[str, Answer]:
        """Send all of it, workflows being kept before anything runs; return which ids were new.

        One that is known is sent again: its sender may have died in the middle of that.
        """
        starting = [node.message for plan in plans if plan.id not in known for node in plan.starting]
        if starting and self._limit is not None:
            await require_room(self._broker, [*messages, *starting], self._limit)
        kept: list[tuple[Plan, str]] = []
        try:
            for plan in plans:
                try:
                    kept.append((plan, await self._opener.keep(plan, concurrency=concurrency)))
                except TakenError:
                    if plan.id not in known:
                        raise
            answers = await self._submitter.submit(messages, limit=self._limit) if messages else ()
        except (QueueFullError, TakenError):
            for plan, keeper in kept:
                await self._opener.retract(plan, keeper)
            raise
        created: dict[str, Answer] = dict(zip((message.id for message in messages), answers, strict=True))
        for plan, _ in kept:
            created[plan.id] = await self._submitter.open_workflow(self._opener.opening(plan))
        return created

    async def _known(self, ids: Iterable[str | None]) -> dict[str, str]:
        """Return those of *ids* under which a workflow was opened before, with what its result is.

        Raises SignatureError where one is that of a task.
        """
        chosen, known = [id for id in ids if id is not None], dict[str, str]()
        if not chosen:
            return known
        backend = self._results.required()
        for id, record in zip(chosen, await backend.get(chosen), strict=True):
            whole = await backend.workflow(id)
            if whole is not None:
                known[id] = whole.result
            elif record is not None:
                raise SignatureError(f"id={id!r}: a task has it already; choose another id for the workflow")
        return known

    async def _compiled(self, call: Workflow[Any], id: str, now: float) -> Plan:
        compile_ = partial(self._opener.compile, call, id=id, now=now, ahead=True)
        # a great one takes a while, and others want their turn
        great = sum(1 for _ in islice(call.walk(), _GREAT)) == _GREAT
        return await asyncio.to_thread(compile_) if great else compile_()

    def _packed(self, call: Signature, id: str, now: float) -> Message:
        require_releasable(call, id)
        message = self._packer.message(call, id=id, now=now)
        if call.unique is None and call.debounce is None:
            return message
        # it is by the record that a key is known to be free
        self._results.required()
        return replace(message, unique=claim_of(call), delay=max(call.delay, call.debounce or 0.0))

    def _result(self, call: Signature[R_co], id: str, now: float) -> AsyncResult[R_co]:
        """Return the result of a call that is sent at *now*."""
        # without the parameter, which is looked up each time
        result: AsyncResult[R_co] = AsyncResult(id, self._results, self._reading(call.name))
        if call.expires is not None:
            result.expires_at(expiry(call, now))
        return result

    def _outcome(self, call: Signature[R_co], id: str, plan: Plan | None, now: float) -> AsyncResult[R_co]:
        """Return what is awaited under *id*: the call's result, or those of the group that ends it."""
        if plan is None:
            return self._result(call, id, now)
        last, record = last_of(call), plan.result
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


def _unsure(results: Sequence[AsyncResult[Any]], exc: UnavailableError) -> BrokerUnavailableError:
    return BrokerUnavailableError(
        f"it is unknown whether {len(results)} calls were sent: {exc}; sending again with their ids is safe",
        results=results,
    )


def last_of(call: Signature[Any]) -> Signature[Any]:
    """Return the call or the group that ends *call*."""
    while isinstance(call, Chain | Chord):
        call = call.calls[-1]
    return call

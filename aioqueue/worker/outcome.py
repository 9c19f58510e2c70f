"""Outcome: what an attempt came to. Pure: a result or an exception becomes an Ending, nothing else.

What follows has ids derived from its owner, so that to end twice releases nothing twice.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, cast

from aioqueue import codec
from aioqueue.errors import AioqueueError, PayloadTooLargeError, Reject, Retry
from aioqueue.ids import derived_id
from aioqueue.models.retry import RetryPolicy
from aioqueue.models.signature import Signature
from aioqueue.models.state import ErrorInfo, State
from aioqueue.packing import Packer
from aioqueue.protocols.flow import Opening
from aioqueue.protocols.messages import Delivery, Ending, Message
from aioqueue.values import lean

_MESSAGE: Final = 8_192
_TRACEBACK: Final = 16_384
_MESSAGE_BEFORE: Final = 2_048
_TRACEBACK_BEFORE: Final = 4_096
"""Of an attempt that another one follows: 20 of them are remembered."""
_EXPLICIT: Final = RetryPolicy(max_retries=10, backoff="constant", delay=0.0, jitter=False)


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for every task of a worker. result_ttl, failure_ttl: seconds; max_payload: bytes.

    retry: for tasks that have no policy of their own.
    """

    packer: Packer
    worker: str
    result_ttl: float
    failure_ttl: float
    max_payload: int
    retry: RetryPolicy | None = None


@lean
class Job:
    """An attempt that can be judged: its delivery, its call, and the policy that holds for it.

    now: Unix seconds by the store's clock. random: from [0, 1), for the jitter.
    """

    delivery: Delivery
    call: Signature
    retry: RetryPolicy | None
    result_ttl: float | None
    rules: Rules
    now: float
    random: float


def succeeded(job: Job, value: object) -> Ending:
    """Return the ending of an attempt that returned *value*, which is JSON data already."""
    try:
        data = codec.encode_value(value)
        if len(data) > job.rules.max_payload:
            raise PayloadTooLargeError(
                f"the result has {len(data)} bytes, max_payload is {job.rules.max_payload}; "
                "return a reference instead"
            )
        calls = job.call.on_success
        follow = tuple(_released(job, "s", (call.given(value) for call in calls))) if calls else ()
    except AioqueueError as exc:
        return refused(job, exc)
    ttl = job.rules.result_ttl if job.result_ttl is None else job.result_ttl
    return Ending(
        job.delivery,
        State.SUCCESS,
        value=None if job.call.ignore_result else data,
        ttl=ttl,
        follow=follow,
    )


def went_on(job: Job, opening: Opening | None) -> Ending:
    """Return the ending of an attempt that goes on as a workflow; None: it is started, and nobody waits."""
    return gone_on(job.delivery, opening, job.rules.result_ttl if job.result_ttl is None else job.result_ttl)


def gone_on(delivery: Delivery, opening: Opening | None, ttl: float) -> Ending:
    """Return the same of a delivery whose outcome is shown for *ttl* s."""
    if opening is None:
        return Ending(delivery, State.SUCCESS, ttl=ttl)
    return Ending(delivery, State.STARTED, opening=replace(opening, ttl=ttl))


def failed(job: Job, exc: BaseException, *, timed_out: bool = False) -> Ending:
    """Return the ending of an attempt that raised *exc*: another attempt, or FAILURE."""
    info = error_info(job.delivery, exc, job.rules.worker)
    steer = None if timed_out else steering(exc)
    if isinstance(steer, Reject):
        return _final(job, info, dead=_sound(_text(steer) or "rejected"))
    retries = job.delivery.message.attempt - 1
    policy = job.retry or (_EXPLICIT if steer is not None else None)
    if policy is None or not (steer is not None or policy.covers(exc, timed_out=timed_out)):
        return _final(job, info, dead=None)
    if not policy.allows(retries):
        return _final(job, info, dead=f"retries used up: {info.type}: {info.message}")
    try:
        pause, eta = _pause(policy, steer, exc, retries + 1, job.random)
    except Exception as wrong:  # noqa: BLE001 - a backoff function is the user's code
        note = f"{info.message} (and its backoff function raised {type(wrong).__name__}: {_text(wrong)})"
        return _final(job, info.model_copy(update={"message": _sound(note)}), dead=_sound(note))
    if pause is None:
        return _final(job, info, dead=f"its backoff function gave up: {info.type}: {info.message}")
    again = replace(job.delivery.message, attempt=retries + 2, hop=0, delay=pause, eta=eta)
    return Ending(
        job.delivery,
        State.RETRY,
        error=codec.encode_error(_shortened(info)),
        follow=(again,),
        next_at=again.due(job.now),
    )


def steering(exc: BaseException) -> Retry | Reject | None:
    """Return what *exc* says of how the attempt ends: itself, what it was raised from, or one of a group."""
    pending: list[BaseException] = [exc]
    seen: set[int] = set()
    while pending:
        looked = pending.pop(0)
        if id(looked) in seen:
            continue
        seen.add(id(looked))
        if isinstance(looked, Retry | Reject):
            return looked
        if isinstance(looked, BaseExceptionGroup):
            pending.extend(cast("BaseExceptionGroup[BaseException]", looked).exceptions)
        if looked.__cause__ is not None:
            pending.append(looked.__cause__)
    return None


def _pause(
    policy: RetryPolicy, steer: Retry | None, exc: BaseException, retry: int, random: float
) -> tuple[float | None, float | None]:
    """Return the pause, None to give up, and the moment before which the next attempt does not start."""
    if steer is None or (steer.delay is None and steer.eta is None):
        return policy.after(exc, retry, random), None
    return steer.delay or 0.0, steer.eta


def refused(job: Job, exc: AioqueueError) -> Ending:
    """Return the ending of a call whose arguments or result do not fit: another attempt would be the same."""
    return _final(job, _info(job.delivery, type(exc).__name__, str(exc), job.rules.worker), dead=None)


def unknown(job: Job, kind: str, reason: str) -> Ending:
    """Return the ending of a call that no worker knows how to make."""
    return _final(job, _info(job.delivery, kind, reason, job.rules.worker), dead=reason)


def unwritable(ending: Ending, exc: Exception, rules: Rules) -> Ending:
    """Return the ending that stands for one the store could not take."""
    return unreadable(ending.delivery, type(exc).__name__, f"its end cannot be written: {_text(exc)}", rules)


def expired(job: Job) -> Ending:
    """Return the ending of a task that was not started in time."""
    info = _info(job.delivery, "TaskExpiredError", "the task expired before it was started", job.rules.worker)
    return replace(_final(job, info, dead=None), state=State.EXPIRED)


def lost(job: Job) -> Ending:
    """Return the ending of a task that too many workers have died with."""
    many = job.delivery.losses
    died = "1 worker died while it" if many == 1 else f"{many} workers died while they"
    reason = f"worker lost: {died} ran it"
    return _final(job, _info(job.delivery, "WorkerLost", reason, job.rules.worker), dead=reason)


def stopped(delivery: Delivery, rules: Rules) -> Ending:
    """Return the ending of a task whose worker stops while it runs, and that must not run again."""
    return unreadable(delivery, "WorkerLost", "worker lost: it stopped while it ran the task", rules)


def unreadable(delivery: Delivery, kind: str, reason: str, rules: Rules) -> Ending:
    """Return the ending of a message that no attempt can be made of."""
    info = _info(delivery, kind, reason, rules.worker)
    return Ending(
        delivery, State.FAILURE, error=codec.encode_error(info), ttl=rules.failure_ttl, dead=info.message
    )


def error_info(delivery: Delivery, exc: BaseException, worker: str) -> ErrorInfo:
    """Return what is put on record of *exc*: text, within bounds."""
    kind = type(exc).__name__
    lines = "".join(traceback.format_exception(exc)) if not isinstance(exc, Reject) else None
    return _info(delivery, kind, _text(exc) or kind, worker, lines)


def _text(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception as broken:  # noqa: BLE001 - __str__ is the user's code
        return f"(its text cannot be read: {type(broken).__name__})"


def _info(delivery: Delivery, kind: str, message: str, worker: str, lines: str | None = None) -> ErrorInfo:
    return ErrorInfo(
        type=kind,
        message=_sound(message[:_MESSAGE]),
        traceback=None if lines is None else _sound(lines[-_TRACEBACK:]),
        task_id=delivery.message.id,
        task_name=delivery.message.name,
        attempt=delivery.message.attempt,
        worker=worker,
    )


def _shortened(info: ErrorInfo) -> ErrorInfo:
    lines = info.traceback
    return info.model_copy(
        update={
            "message": info.message[:_MESSAGE_BEFORE],
            "traceback": None if lines is None else lines[-_TRACEBACK_BEFORE:],
        }
    )


def _sound(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _final(job: Job, info: ErrorInfo, *, dead: str | None) -> Ending:
    follow: tuple[Message, ...] = ()
    try:
        calls = (call.given(info.message, error=True) for call in job.call.on_error)
        follow = tuple(_released(job, "e", calls, info))
    except AioqueueError as exc:
        note = f"{info.message} (and its on_error could not be sent: {exc})"
        info = info.model_copy(update={"message": note})
    ttl = job.rules.failure_ttl if job.result_ttl is None else job.result_ttl
    return Ending(
        job.delivery,
        State.FAILURE,
        error=codec.encode_error(info),
        ttl=ttl,
        follow=follow,
        dead=None if dead is None else _sound(dead[:_MESSAGE]),
    )


def _released(
    job: Job, kind: str, calls: Iterable[Signature], error: ErrorInfo | None = None
) -> list[Message]:
    owner, pack = job.delivery.message, job.rules.packer.message
    return [
        pack(
            call,
            id=call.id or derived_id(owner.id, f"{kind}{n}"),
            now=job.now,
            error=error,
            beside=owner.queue,
        )
        for n, call in enumerate(calls)
    ]

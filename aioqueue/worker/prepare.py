"""Preparer: decodes what was handed out, finds its task, and looks whether it may run at all."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from random import random, uniform
from typing import Final, Literal, cast

from aioqueue import codec
from aioqueue.clock import Clock
from aioqueue.codec import Body
from aioqueue.definition import TaskOptions
from aioqueue.logs import Attempt
from aioqueue.models.retry import RetryPolicy
from aioqueue.models.signature import Signature
from aioqueue.models.state import ErrorInfo
from aioqueue.protocols.messages import Delivery, Ending
from aioqueue.router import AnyTask, Router
from aioqueue.values import lean
from aioqueue.worker import outcome
from aioqueue.worker.options import WorkerOptions
from aioqueue.worker.outcome import Job, Rules
from aioqueue.worker.run import Run

_log = logging.getLogger("aioqueue.worker")

_TOLD: Final = 1_000


@dataclass(frozen=True, slots=True)
class GiveBack:
    """The delivery goes back, nothing counted, and is not handed out for *delay* s."""

    delay: float = 0.0


@lean
class Prepared:
    """A call that can be made. takes_from: what it reads first, where it is a node of a workflow.

    error: what it is called for, if that came with it.
    """

    task: AnyTask
    options: TaskOptions
    call: Signature
    timeout: float | None
    takes_from: str | None = None
    error: ErrorInfo | None = None

    @property
    def at_most_once(self) -> bool:
        """True where what has begun is never run again."""
        return self.options.get("acks") == "early"


Finished = Ending | GiveBack | None
"""None: nothing is ours to say any more."""


class Preparer:
    """Makes calls of deliveries."""

    def __init__(self, router: Router, rules: Rules, clock: Clock, options: WorkerOptions) -> None:
        self._router = router
        self._rules = rules
        self._clock = clock
        self._unknown_grace = options.unknown_grace
        self._max_losses = options.max_losses
        self._timeout = options.timeout
        self._unknown: set[str] = set()

    def read(self, delivery: Delivery) -> Body | Finished:
        """Return what the message holds, or what it comes to where that cannot be read."""
        try:
            return codec.read(delivery.message)
        except codec.NewerVersionError as exc:
            put_off = self._put_off(delivery, str(exc))
            return put_off or outcome.unreadable(delivery, "NewerVersionError", str(exc), self._rules)
        except codec.DecodeError as exc:
            return outcome.unreadable(delivery, "DecodeError", f"undecodable: {exc}", self._rules)

    def prepare(self, run: Run, body: Body) -> Prepared | Finished:
        """Return the call that can be made, or what it comes to without being made."""
        delivery, call = run.delivery, body.call
        task = self._router.find(call.name)
        if task is None:
            return self._unknown_task(delivery, call)
        options = self._router.registered(call.name)
        timeout = _first(call.timeout, _float(options, "timeout"), self._timeout)
        prepared = Prepared(task, options, call, timeout, body.takes_from, body.error)
        if run.losses > (0 if prepared.at_most_once else self._max_losses):
            return outcome.lost(self.job(run, prepared))
        if isinstance(call.expires, datetime) and call.expires.timestamp() <= delivery.at:
            return outcome.expired(self.job(run, prepared))
        return prepared

    def _unknown_task(self, delivery: Delivery, call: Signature) -> Finished:
        reason = f"no worker of queue {delivery.message.queue!r} knows {call.name!r}"
        if (put_off := self._put_off(delivery, reason)) is not None:
            return put_off
        job = Job(delivery, call, None, call.result_ttl, self._rules, self._clock.time(), random())
        return outcome.unknown(job, "UnknownTaskError", reason)

    def _put_off(self, delivery: Delivery, reason: str) -> GiveBack | None:
        """Give back what another worker may know, while there is grace for it; None when that is over."""
        waited = 0.0 if delivery.first_seen is None else delivery.at - delivery.first_seen
        if waited >= self._unknown_grace:
            return None
        if reason not in self._unknown and len(self._unknown) < _TOLD:
            self._unknown.add(reason)
            _log.warning("%s: %s; given back for up to %g s", label(delivery), reason, self._unknown_grace)
        # where half of the workers know it, it is soon with one of those, whoever is first to ask again
        return GiveBack(delay=min(30.0, max(0.1, waited / 4) * uniform(0.5, 1.0), self._unknown_grace))

    def job(self, run: Run, prepared: Prepared) -> Job:
        """Return the attempt as it is judged."""
        options, call = prepared.options, prepared.call
        return Job(
            delivery=run.delivery,
            call=call,
            retry=_policy(call.retry, options.get("retry"), self._rules.retry),
            result_ttl=_first(call.result_ttl, _float(options, "result_ttl")),
            rules=self._rules,
            now=self._clock.time(),
            random=random(),
        )


def label(delivery: Delivery) -> Attempt:
    """Return how a delivery is called in the log."""
    return Attempt.of(delivery.message)


def _first(*values: float | None) -> float | None:
    """Return the first that says something."""
    for value in values:
        if value is not None:
            return value
    return None


def _policy(
    sent: RetryPolicy | None, registered: RetryPolicy | None, default: RetryPolicy | None
) -> RetryPolicy | None:
    """Return the policy that holds; a function that is registered could not be sent with what was."""
    own = registered is not None and sent == registered.sendable()
    return (registered if own else sent) or registered or default


def _float(options: TaskOptions, name: Literal["timeout", "result_ttl"]) -> float | None:
    """Return an option that registration has made seconds."""
    return cast("float | None", options.get(name))

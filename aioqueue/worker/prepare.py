"""Preparer: decodes what was handed out, finds its task, and looks whether it may run at all."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import random, uniform
from typing import Final, cast

from aioqueue import codec
from aioqueue.clock import Clock
from aioqueue.codec import Body
from aioqueue.definition import Definition, TaskOptions
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
class Facts:
    """What a task was registered with that each of its calls needs. timeout, result_ttl: seconds.

    at_most_once: what has begun is never run again.
    """

    task: AnyTask
    timeout: float | None
    result_ttl: float | None
    retry: RetryPolicy | None
    at_most_once: bool

    @classmethod
    def of(cls, task: AnyTask, options: TaskOptions) -> Facts:
        """Return those of a task; registration has made seconds of *options*."""
        timeout, result_ttl = options.get("timeout"), options.get("result_ttl")
        once = options.get("acks") == "early"
        return cls(task, _seconds(timeout), _seconds(result_ttl), options.get("retry"), once)


@lean
class Prepared:
    """A call that can be made. takes_from: what it reads first, where it is a node of a workflow.

    error: what it is called for, if that came with it.
    """

    facts: Facts
    call: Signature
    timeout: float | None
    takes_from: str | None = None
    error: ErrorInfo | None = None

    @property
    def definition(self) -> Definition:
        """What is called."""
        return self.facts.task.definition


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
        self._facts: dict[str, Facts] = {}

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
        facts = self._known(call.name)
        if facts is None:
            return self._unknown_task(delivery, call)
        timeout = call.timeout if call.timeout is not None else facts.timeout
        prepared = Prepared(
            facts, call, timeout if timeout is not None else self._timeout, body.takes_from, body.error
        )
        if run.losses > (0 if facts.at_most_once else self._max_losses):
            return outcome.lost(self.job(run, prepared))
        if isinstance(call.expires, datetime) and call.expires.timestamp() <= delivery.at:
            return outcome.expired(self.job(run, prepared))
        return prepared

    def _known(self, name: str) -> Facts | None:
        task, facts = self._router.find(name), self._facts.get(name)
        if task is not None and (facts is None or facts.task is not task):
            facts = self._facts[name] = Facts.of(task, self._router.registered(name))
        return None if task is None else facts

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
        facts, call = prepared.facts, prepared.call
        retry = _policy(call.retry, facts.retry, self._rules.retry)
        ttl = call.result_ttl if call.result_ttl is not None else facts.result_ttl
        # by position, which takes half as long
        return Job(run.delivery, call, retry, ttl, self._rules, self._clock.time(), random())


def label(delivery: Delivery) -> Attempt:
    """Return how a delivery is called in the log."""
    return Attempt.of(delivery.message)


def _policy(
    sent: RetryPolicy | None, registered: RetryPolicy | None, default: RetryPolicy | None
) -> RetryPolicy | None:
    """Return the policy that holds; a function that is registered could not be sent with what was."""
    own = registered is not None and sent == registered.sendable()
    return (registered if own else sent) or registered or default


def _seconds(given: float | timedelta | None) -> float | None:
    """Return an option of which registration has made seconds."""
    return cast("float | None", given)

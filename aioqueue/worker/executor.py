"""Executor: runs deliveries, as many at once as there are slots.

From the moment the user's code has ended until its ending is handed to the committer nothing is
awaited, so no late cancel can come between. A slot is free again when the store has answered.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import random, uniform
from typing import Any, Final, Literal, assert_never, cast

from aioqueue import codec
from aioqueue.canvas import ERROR
from aioqueue.clock import Clock
from aioqueue.codec import Body
from aioqueue.context import Context, running
from aioqueue.definition import TaskOptions
from aioqueue.errors import (
    AioqueueError,
    QueueFullError,
    SignatureError,
    TaskTimeoutError,
    UnavailableError,
)
from aioqueue.logs import Attempt
from aioqueue.models.signature import Signature
from aioqueue.models.state import State
from aioqueue.models.workflow import Workflow
from aioqueue.protocols.flow import OPEN
from aioqueue.protocols.messages import SUSPECT, Delivery, Ending, Start
from aioqueue.router import AnyTask, Router
from aioqueue.schema import Bound
from aioqueue.waits import Waits, waits
from aioqueue.worker import outcome
from aioqueue.worker.inputs import InputGoneError
from aioqueue.worker.outcome import Job, Rules
from aioqueue.worker.pools import Pools
from aioqueue.worker.run import Reason, Run
from aioqueue.worker.workflows import Workflows

_log = logging.getLogger("aioqueue.worker")

_AGAIN: Final = 0.5
_TRIES: Final = 20
_TOLD: Final = 1_000


@dataclass(frozen=True, slots=True)
class GiveBack:
    """The delivery goes back, nothing counted, and is not handed out for *delay* s."""

    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call that can be made. takes_from: what it reads first, where it is a node of a workflow."""

    task: AnyTask
    options: TaskOptions
    call: Signature
    timeout: float | None
    takes_from: str | None = None


Finished = Ending | GiveBack | None
"""None: nothing is ours to say any more."""


class Executor:
    """Holds the runs. done: called with each run and what it came to, before it leaves its slot."""

    def __init__(
        self,
        router: Router,
        rules: Rules,
        pools: Pools,
        clock: Clock,
        done: Callable[[Run, Finished], None],
        *,
        capacity: int,
        unknown_grace: float,
        max_losses: int,
        timeout: float | None,
        workflows: Workflows,
        queues: Sequence[str],
    ) -> None:
        self._workflows = workflows
        self._waits = Waits(capacity, queues)
        self._router = router
        self._rules = rules
        self._pools = pools
        self._clock = clock
        self._done = done
        self._capacity = capacity
        self._unknown_grace = unknown_grace
        self._max_losses = max_losses
        self._timeout = timeout
        self._suspect: Run | None = None
        self._unknown: set[str] = set()
        self._runs: dict[tuple[str, int], Run] = {}
        self.changed: asyncio.Event = asyncio.Event()

    @property
    def running(self) -> int:
        """Return how many slots are taken."""
        return len(self._runs)

    @property
    def free(self) -> int:
        """Return how many slots are free."""
        return self._capacity - len(self._runs)

    def runs(self) -> set[Run]:
        """Return all that runs."""
        return set(self._runs.values())

    def start(self, delivery: Delivery, start: Start) -> None:
        """Run a delivery that has begun; one of an attempt that runs here already replaces its receipt."""
        key = (delivery.message.id, delivery.message.attempt)
        present = self._runs.get(key)
        if present is not None:
            present.delivery = delivery
            return
        run = self._runs[key] = Run(delivery, max(start.losses, delivery.losses))
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._execute(run), name=f"{delivery.message.name}[{delivery.message.id}]")
        run.attach(task)
        task.add_done_callback(lambda _: self._abandoned(run))
        if _log.isEnabledFor(logging.INFO):
            _log.info("received %s", label(delivery))

    def leave(self, delivery: Delivery) -> Run | None:
        """Free the slot of a delivery whose end the store has answered; return its run."""
        run = self._runs.pop((delivery.message.id, delivery.message.attempt), None)
        self.changed.set()
        return run

    def surrender(self, *, ended: bool = False) -> list[Delivery]:
        """Return the deliveries of runs that have not ended; what they come to is no longer heard.

        ended: also those that have, and whose end is not written.
        """
        left = [run for run in self._runs.values() if ended or not run.closed]
        for run in left:
            run.interrupt(Reason.LOST)
        return [run.delivery for run in left]

    def interrupt(self, reason: Reason) -> None:
        """Interrupt every run."""
        for run in list(self._runs.values()):
            run.interrupt(reason)

    async def _execute(self, run: Run) -> None:
        try:
            finished = await self._attempt(run)
        except asyncio.CancelledError:
            finished = None if run.reason is Reason.LOST else GiveBack()
        except Exception as exc:  # noqa: BLE001 - no message may take a slot for ever, whatever our fault
            _log.exception("%s cannot be handled", label(run.delivery))
            finished = outcome.unreadable(
                run.delivery, type(exc).__name__, f"cannot be handled: {exc}", self._rules
            )
        run.close()
        self._done(run, finished)

    def _abandoned(self, run: Run) -> None:
        # a task that is cancelled before its first step never enters its coroutine
        if not run.closed:
            run.close()
            self._done(run, None if run.reason is Reason.LOST else GiveBack())

    async def _attempt(self, run: Run) -> Finished:
        if run.delivery.message.name == OPEN:
            # the store does what is to be done when it ends
            return Ending(run.delivery, State.SUCCESS)
        body = self._read(run.delivery)
        if not isinstance(body, Body):
            return body
        if isinstance(body.call, Workflow):
            call = functools.partial(self._opened, run, body.call)
        else:
            prepared = self._prepare(run, body)
            if not isinstance(prepared, Prepared):
                return prepared
            call = functools.partial(self._call, run, prepared)
        return await (call() if run.losses < SUSPECT else self._alone(run, call))

    async def _alone(self, run: Run, call: Callable[[], Awaitable[Finished]]) -> Finished:
        """Make the call of a suspect, if no other one runs here."""
        if self._suspect is not None:
            # a broker that cannot tell suspects has handed out two; what has not run is not to be counted
            return GiveBack(delay=_AGAIN)
        self._suspect = run
        try:
            return await call()
        finally:
            self._suspect = None

    async def _opened(self, run: Run, workflow: Workflow[Any]) -> Finished:
        """Start a workflow that a task has released."""
        message = run.delivery.message
        if run.losses > self._max_losses:
            lost = f"worker lost: {run.losses} workers died while they started it"
            return outcome.unreadable(run.delivery, "WorkerLost", lost, self._rules)
        try:
            await self._workflows.start(workflow, message.id)
        except (UnavailableError, QueueFullError) as exc:
            _log.warning("%s cannot be started, trying again: %s", label(run.delivery), exc)
            return GiveBack(delay=_AGAIN)
        except AioqueueError as exc:
            return outcome.unreadable(run.delivery, type(exc).__name__, str(exc), self._rules)
        return Ending(run.delivery, State.SUCCESS, value=b"null", ttl=self._rules.result_ttl)

    def _read(self, delivery: Delivery) -> Body | Finished:
        """Return what the message holds, or what it comes to where that cannot be read."""
        try:
            return codec.read(delivery.message)
        except codec.NewerVersionError as exc:
            put_off = self._put_off(delivery, str(exc))
            return put_off or outcome.unreadable(delivery, "NewerVersionError", str(exc), self._rules)
        except codec.DecodeError as exc:
            return outcome.unreadable(delivery, "DecodeError", f"undecodable: {exc}", self._rules)

    def _prepare(self, run: Run, body: Body) -> Prepared | Finished:
        delivery, call = run.delivery, body.call
        task = self._router.find(call.name)
        if task is None:
            return self._unknown_task(delivery, call)
        options = self._router.registered(call.name)
        prepared = Prepared(
            task,
            options,
            call,
            _first(call.timeout, _float(options, "timeout"), self._timeout),
            body.takes_from,
        )
        if run.losses > self._max_losses:
            return outcome.lost(self._job(run, prepared))
        if isinstance(call.expires, datetime) and call.expires.timestamp() <= delivery.at:
            return outcome.expired(self._job(run, prepared))
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

    async def _call(self, run: Run, prepared: Prepared) -> Finished:
        message = run.delivery.message
        waits.set(self._waits)
        running.set(
            Context(
                task_id=message.id,
                task_name=message.name,
                queue=message.queue,
                attempt=message.attempt,
                losses=run.losses,
                headers=prepared.call.headers,
                worker=self._rules.worker,
                sent_at=message.sent,
            )
        )
        definition = prepared.task.definition

        def began() -> None:
            run.started = self._clock.time()
            run.limit(prepared.timeout, asyncio.get_running_loop())

        bound = await self._bound(run, prepared)
        if not isinstance(bound, tuple):
            return bound
        try:
            value = await self._pools.call(definition, *bound, began)
            run.unlimit()
            if not isinstance(value, Signature):
                run.close()
        except BaseException as exc:  # noqa: BLE001 - the user's code, which may raise SystemExit too
            run.close()
            return self._judged(run, prepared, exc)
        if run.reason is Reason.LOST:
            return None
        if isinstance(value, Signature):
            return await self._goes_on(self._job(run, prepared), cast("Signature", value))
        return self._returned(self._job(run, prepared), prepared, value)

    async def _bound(self, run: Run, prepared: Prepared) -> Bound | Finished:
        """Return the arguments, or what the attempt comes to without them."""
        try:
            call = await self._complete(prepared)
            return prepared.task.definition.schema.load(call.args, call.kwargs)
        except UnavailableError as exc:
            _log.warning("%s cannot read what it takes, trying again: %s", label(run.delivery), exc)
            return GiveBack(delay=_AGAIN)
        except AioqueueError as exc:
            if isinstance(exc, InputGoneError) and run.delivery.first_seen is None:
                # its workflow may have ended meanwhile: then it is not handed out again
                return GiveBack(delay=_AGAIN)
            return outcome.refused(self._job(run, prepared), exc)

    async def _complete(self, prepared: Prepared) -> Signature:
        """Return the call with what it takes from before it."""
        source = prepared.takes_from
        if source is None:
            return prepared.call
        call, error = prepared.call, source.startswith(ERROR)
        place = call.place(error=error)
        streamed = place is not None and prepared.task.definition.schema.is_stream(place)
        return call.given(await self._workflows.take(source, streamed), error=error)

    async def _goes_on(self, job: Job, call: Signature) -> Finished:
        """Keep the workflow that a task has returned, in whose place it is to run."""
        name = label(job.delivery)
        for _ in range(_TRIES):
            try:
                instead = await self._workflows.instead(call, job.delivery.message, job.call)
            except (UnavailableError, QueueFullError) as exc:
                _log.warning("%s cannot go on as a workflow, trying again: %s", name, exc)
                await asyncio.sleep(_AGAIN)
            except AioqueueError as exc:
                return outcome.refused(job, exc)
            else:
                return outcome.went_on(job, instead)
        return GiveBack(delay=_AGAIN)

    def _returned(self, job: Job, prepared: Prepared, value: object) -> Ending:
        try:
            return outcome.succeeded(job, prepared.task.definition.schema.result.dump(value))
        except SignatureError as exc:
            return outcome.refused(job, exc)

    def _judged(self, run: Run, prepared: Prepared, exc: BaseException) -> Finished:
        match run.reason:
            case None:
                return outcome.failed(self._job(run, prepared), exc)
            case Reason.TIMEOUT:
                late = TaskTimeoutError(f"it ran longer than its timeout of {prepared.timeout:g} s")
                late.__cause__ = exc
                return outcome.failed(self._job(run, prepared), late)
            case Reason.STOP:
                return GiveBack()
            case Reason.CANCELLED:
                # on record it has ended: nobody will be handed it again
                return GiveBack()
            case Reason.LOST:
                return None
            case _:
                assert_never(run.reason)

    def _job(self, run: Run, prepared: Prepared) -> Job:
        options, call = prepared.options, prepared.call
        return Job(
            delivery=run.delivery,
            call=call,
            retry=call.retry or options.get("retry"),
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
    return next((value for value in values if value is not None), None)


def _float(options: TaskOptions, name: Literal["timeout", "result_ttl"]) -> float | None:
    """Return an option that registration has made seconds."""
    return cast("float | None", options.get(name))

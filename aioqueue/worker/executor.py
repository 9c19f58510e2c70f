"""Executor: runs deliveries, as many at once as there are slots.

From the moment the user's code has ended until its ending is handed to the committer nothing is
awaited, so no late cancel can come between. A slot is free again when the store has answered.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final, assert_never, cast

from aioqueue.canvas import ERROR
from aioqueue.clock import Clock
from aioqueue.codec import Body
from aioqueue.context import Context, reaching, running
from aioqueue.errors import (
    AioqueueError,
    QueueFullError,
    SignatureError,
    TaskTimeoutError,
    UnavailableError,
)
from aioqueue.logs import Attempt
from aioqueue.middleware import Arguments, Hooks
from aioqueue.models.signature import Signature
from aioqueue.models.state import ErrorInfo, State
from aioqueue.models.workflow import Workflow
from aioqueue.protocols.flow import OPEN
from aioqueue.protocols.messages import SUSPECT, Delivery, Ending, Start
from aioqueue.schema import Bound
from aioqueue.waits import Waits, waits
from aioqueue.worker import outcome
from aioqueue.worker.inputs import InputGoneError
from aioqueue.worker.notes import Notes
from aioqueue.worker.outcome import Job, Rules
from aioqueue.worker.pools import Began, Pools
from aioqueue.worker.prepare import Finished, GiveBack, Prepared, Preparer, label
from aioqueue.worker.reach import Reach
from aioqueue.worker.run import Reason, Run
from aioqueue.worker.workflows import Workflows

_log = logging.getLogger("aioqueue.worker")

_AGAIN: Final = 0.5
_TRIES: Final = 20


class Executor:
    """Holds the runs. done: called with each run and what it came to, before it leaves its slot.

    notes: makes the notes of a run that tells something.
    """

    def __init__(
        self,
        preparer: Preparer,
        rules: Rules,
        pools: Pools,
        clock: Clock,
        done: Callable[[Run, Finished], None],
        *,
        capacity: int,
        max_losses: int,
        grace: float,
        workflows: Workflows,
        queues: Sequence[str],
        hooks: Hooks,
        notes: Callable[[Run], Notes],
    ) -> None:
        self._hooks = hooks
        self._notes = notes
        self._workflows = workflows
        self._waits = Waits(capacity, queues)
        self._preparer = preparer
        self._rules = rules
        self._pools = pools
        self._clock = clock
        self._done = done
        self._capacity = capacity
        self._max_losses = max_losses
        self._grace = grace
        self._suspect: Run | None = None
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

    @property
    def stuck(self) -> bool:
        """True when all slots have waited for long for tasks of these queues that nobody has started."""
        return self._waits.stuck

    @property
    def third(self) -> int:
        """Return how many slots are a third of all, at least one."""
        return (self._capacity + 2) // 3

    def runs(self) -> set[Run]:
        """Return all that runs."""
        return set(self._runs.values())

    def attempt_in(self, task: asyncio.Task[Any]) -> Attempt | None:
        """Return the attempt whose code an asyncio task runs; may be asked in another thread."""
        # copied in one step, as the loop may move on meanwhile
        runs = list(self._runs.values())
        return next((label(run.delivery) for run in runs if run.runs_in(task)), None)

    def start(self, delivery: Delivery, start: Start) -> None:
        """Run a delivery that has begun; one of an attempt that runs here already replaces its receipt."""
        key = (delivery.message.id, delivery.message.attempt)
        present = self._runs.get(key)
        if present is not None:
            present.delivery = delivery
            return
        run = self._runs[key] = Run(delivery, max(start.losses, delivery.losses))
        _start(self._execute(run), name=f"{delivery.message.name}[{delivery.message.id}]")
        if _log.isEnabledFor(logging.INFO):
            _log.info("received %s", label(delivery))

    def leave(self, delivery: Delivery) -> Run | None:
        """Free the slot of a delivery whose end the store has answered; return its run."""
        run = self._runs.pop((delivery.message.id, delivery.message.attempt), None)
        self.changed.set()
        return run

    def surrender(self, *, ended: bool = False) -> list[Run]:
        """Return the runs that have not ended; what they come to is no longer heard.

        ended: also those that have, and whose end is not written.
        """
        left = [run for run in self._runs.values() if ended or not run.closed]
        for run in left:
            run.interrupt(Reason.LOST)
        return left

    def interrupt(self, reason: Reason) -> None:
        """Interrupt every run."""
        for run in list(self._runs.values()):
            run.interrupt(reason)

    async def _execute(self, run: Run) -> None:
        try:
            run.attach(asyncio.current_task())
            finished = await self._attempt(run)
        except asyncio.CancelledError:
            finished = None if run.reason is Reason.LOST else GiveBack()
        except Exception as exc:  # noqa: BLE001 - no message may take a slot for ever, whatever our fault
            _log.exception("%s cannot be handled", label(run.delivery))
            finished = outcome.unreadable(
                run.delivery, type(exc).__name__, f"cannot be handled: {exc}", self._rules
            )
        if run.once and isinstance(finished, GiveBack) and run.reason is not Reason.CANCELLED:
            finished = outcome.stopped(run.delivery, self._rules)
        if not run.abandoned:
            run.close()
            self._done(run, finished)

    def _give_up(self, run: Run, prepared: Prepared) -> None:
        """End a run that ignores that it is interrupted, and free its slot; what it comes to is not heard."""
        if run.closed:
            return
        _log.error(
            "%s has ignored for %g s that it was interrupted; its slot is freed, and it goes on unheard",
            label(run.delivery),
            self._grace,
        )
        finished = self._judged(run, prepared, TimeoutError("it ignored that it was cancelled"))
        run.abandon()
        self._suspect = None if self._suspect is run else self._suspect
        self._done(run, finished)

    async def _attempt(self, run: Run) -> Finished:
        if run.delivery.message.name == OPEN:
            # the store does what is to be done when it ends
            return Ending(run.delivery, State.SUCCESS)
        body = self._preparer.read(run.delivery)
        if not isinstance(body, Body):
            return body
        if type(body.call) is not Signature and isinstance(body.call, Workflow):
            call = self._opened(run, body.call, body.error)
        else:
            prepared = self._preparer.prepare(run, body)
            if not isinstance(prepared, Prepared):
                return prepared
            call = self._call(run, prepared)
        return await (call if run.losses < SUSPECT else self._alone(run, call))

    async def _alone(self, run: Run, call: Coroutine[Any, Any, Finished]) -> Finished:
        """Make the call of a suspect, if no other one runs here."""
        if self._suspect is not None:
            # a broker that cannot tell suspects has handed out two; what has not run is not to be counted
            call.close()
            return GiveBack(delay=_AGAIN)
        self._suspect = run
        try:
            return await call
        finally:
            self._suspect = None if self._suspect is run else self._suspect

    async def _opened(self, run: Run, workflow: Workflow[Any], error: ErrorInfo | None) -> Finished:
        """Go on as a workflow that a task has released, which is known by the id of its message."""
        message = run.delivery.message
        if run.losses > self._max_losses:
            lost = f"worker lost: {run.losses} workers died while they started it"
            return outcome.unreadable(run.delivery, "WorkerLost", lost, self._rules)
        try:
            bare = Signature(name=message.name)
            opening = await self._workflows.instead(workflow, message, bare, error)
        except (UnavailableError, QueueFullError) as exc:
            _log.warning("%s cannot be started, trying again: %s", label(run.delivery), exc)
            return GiveBack(delay=_AGAIN)
        except AioqueueError as exc:
            return outcome.unreadable(run.delivery, type(exc).__name__, str(exc), self._rules)
        ttl = self._rules.result_ttl if workflow.result_ttl is None else workflow.result_ttl
        return outcome.gone_on(run.delivery, opening, ttl)

    async def _call(self, run: Run, prepared: Prepared) -> Finished:
        waits.set(self._waits)
        reaching.set(Reach(run, asyncio.get_running_loop(), self._notes))
        headers, worker, of = prepared.call.headers, self._rules.worker, run.delivery.message
        # by position, which takes half as long
        running.set(
            Context(
                of.id, of.name, of.queue, of.attempt, run.losses, headers, worker, of.sent, prepared.error
            )
        )
        definition = prepared.definition

        def began() -> None:
            run.started = self._clock.time()
            run.interruptible = definition.executor != "thread"
            run.once = prepared.facts.at_most_once
            run.limit(prepared.timeout, asyncio.get_running_loop())
            run.when_ignored(self._grace, lambda: self._give_up(run, prepared))

        bound = await self._bound(run, prepared)
        if not isinstance(bound, tuple):
            return bound
        try:
            if self._hooks.runs:
                value = await self._hooked(run, prepared, bound, began)
            else:
                value = await self._pools.call(definition, *bound, began)
            if run.notes is not None:
                await run.notes.written()
            run.unlimit()
            goes_on = isinstance(value, Signature)
            if not goes_on:
                run.close()
        except BaseException as exc:  # noqa: BLE001 - the user's code, which may raise SystemExit too
            return await self._raised(run, prepared, exc)
        if run.reason is Reason.LOST or run.abandoned:
            return None
        if goes_on:
            return await self._goes_on(self._preparer.job(run, prepared), cast("Signature", value))
        return self._returned(self._preparer.job(run, prepared), prepared, value)

    def _hooked(self, run: Run, prepared: Prepared, bound: Bound, began: Began) -> Awaitable[Any]:
        """Call the task through the middleware, whose time before that is limited as the task's own is."""

        async def call(arguments: Arguments) -> Any:
            # to wait for a thread or a process is no part of it
            run.unlimit()
            given = arguments.args, dict(arguments.kwargs)
            return await self._pools.call(prepared.definition, *given, began)

        run.limit(prepared.timeout, asyncio.get_running_loop())
        return self._hooks.run(running.get(), Arguments(*bound), call)

    async def _bound(self, run: Run, prepared: Prepared) -> Bound | Finished:
        """Return the arguments, or what the attempt comes to without them."""
        try:
            call = prepared.call if prepared.takes_from is None else await self._complete(prepared)
            return prepared.definition.schema.load(call.args, call.kwargs)
        except UnavailableError as exc:
            _log.warning("%s cannot read what it takes, trying again: %s", label(run.delivery), exc)
            return GiveBack(delay=_AGAIN)
        except AioqueueError as exc:
            if isinstance(exc, InputGoneError) and run.delivery.first_seen is None:
                # its workflow may have ended meanwhile: then it is not handed out again
                return GiveBack(delay=_AGAIN)
            return outcome.refused(self._preparer.job(run, prepared), exc)

    async def _complete(self, prepared: Prepared) -> Signature:
        """Return the call with what it takes from before it."""
        source = prepared.takes_from or ""
        call = prepared.call
        if source.startswith(ERROR):
            fault = await self._workflows.fault(source)
            running.set(replace(running.get(), error=fault))
            return call.given(fault.message, error=True)
        place = call.place()
        streamed = place is not None and prepared.definition.schema.is_stream(place)
        return call.given(await self._workflows.take(source, streamed))

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
            return outcome.succeeded(job, prepared.definition.schema.result.dump(value))
        except SignatureError as exc:
            return outcome.refused(job, exc)

    async def _raised(self, run: Run, prepared: Prepared, exc: BaseException) -> Finished:
        """Return what an attempt comes to that raised *exc*; what it told before is written first."""
        if run.notes is not None:
            run.unlimit()
            await run.notes.leave(write=run.reason is not Reason.LOST)
        run.close()
        refusal = None if run.notes is None else run.notes.refusal
        if refusal is not None and refusal is exc and run.reason is None:
            return outcome.refused(self._preparer.job(run, prepared), refusal)
        return self._judged(run, prepared, exc)

    def _judged(self, run: Run, prepared: Prepared, exc: BaseException) -> Finished:
        if run.abandoned:
            return None
        match run.reason:
            case None:
                return outcome.failed(self._preparer.job(run, prepared), exc)
            case Reason.TIMEOUT:
                late = TaskTimeoutError(_late(run, prepared))
                late.__cause__ = exc
                return outcome.failed(self._preparer.job(run, prepared), late, timed_out=True)
            case Reason.STOP:
                return GiveBack()
            case Reason.CANCELLED:
                # on record it has ended: nobody will be handed it again
                return GiveBack()
            case Reason.LOST:
                return None
            case _:
                assert_never(run.reason)


def _start(work: Coroutine[Any, Any, None], *, name: str) -> None:
    """Start a task, from Python 3.12 on at once: what awaits nothing costs no turn of the loop."""
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12) and loop.get_task_factory() is None:
        asyncio.Task(work, loop=loop, name=name, eager_start=True)
    else:
        loop.create_task(work, name=name)  # noqa: RUF006 - the loop holds it until it runs, and then its run


_LEFT: Final = {
    "loop": "",
    "thread": "; its thread cannot be interrupted: it goes on, and takes up one of the threads until it ends",
    "process": "; its process was killed",
}
"""What has become of the user's code, by what runs it."""


def _late(run: Run, prepared: Prepared) -> str:
    more = f" and the {run.extended:g} s it asked for" if run.extended else ""
    said = f"it ran longer than its timeout of {prepared.timeout:g} s{more}"
    return said + _LEFT[prepared.definition.executor]

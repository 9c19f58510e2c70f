"""Term: a worker's life under one consumer id, from its first beat to its last reply.

On a stop: read no more, wait for what runs, cancel it, give it back uncounted, write all that is
to be written, and only then let the lease go. After a lapse nothing of this term commits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from aioqueue import codec
from aioqueue.errors import UnavailableError
from aioqueue.middleware import Hooks
from aioqueue.models.state import State
from aioqueue.packing import Packer
from aioqueue.protocols.broker import Consumer
from aioqueue.protocols.finisher import Finisher
from aioqueue.protocols.lease import Lease
from aioqueue.protocols.messages import SUSPECT, Delivery, Ending
from aioqueue.router import Router
from aioqueue.stores import Stores
from aioqueue.worker import outcome
from aioqueue.worker.committer import Committer
from aioqueue.worker.executor import Executor
from aioqueue.worker.fetcher import Fetcher
from aioqueue.worker.gate import Gate
from aioqueue.worker.grace import Grace
from aioqueue.worker.heart import Heart
from aioqueue.worker.notes import Notes
from aioqueue.worker.options import WorkerOptions
from aioqueue.worker.outcome import Rules
from aioqueue.worker.pools import Pools
from aioqueue.worker.prepare import Finished, Preparer, label
from aioqueue.worker.run import Reason, Run
from aioqueue.worker.two_step import TwoStepFinisher
from aioqueue.worker.watch import Watch
from aioqueue.worker.workflows import Workflows

_log = logging.getLogger("aioqueue.worker")

_PARTING: Final = 0.6
"""Seconds that cancelled runs get to end, and the last batch to be written."""


class Term:
    """One consumer and all that works for it. ended: called after each task whose end is written."""

    def __init__(
        self,
        consumer: Consumer,
        stores: Stores,
        router: Router,
        options: WorkerOptions,
        pools: Pools,
        *,
        grace: Grace,
        budget: int | None,
        ended: Callable[[], None],
        hooks: Hooks,
    ) -> None:
        self._options, self._stores = options, stores
        self._consumer = consumer
        self._ended = ended
        self._lapsed = False
        self._grace = grace
        one_step = consumer.finisher(stores.backend, limited=router.limited)
        self._two_stores = one_step is None
        self._finisher: Finisher = one_step or TwoStepFinisher(consumer, stores.backend, options.name)
        packer = Packer(options.queue, options.max_payload, options.routes)
        rules = self._rules = _rules(options, packer)
        preparer = Preparer(router, rules, stores.clock, options)
        self._executor = Executor(
            preparer,
            rules,
            pools,
            stores.clock,
            self._finished,
            capacity=options.concurrency,
            max_losses=options.max_losses,
            grace=options.timeout_grace,
            queues=options.queues,
            workflows=Workflows(stores, packer),
            hooks=hooks,
            notes=self._notes,
        )
        self._watch = Watch(stores.backend, stores.store, self._executor)
        self._committer = Committer(
            self._finisher, self._written, lambda ending, exc: outcome.unwritable(ending, exc, rules)
        )
        self._fetcher = Fetcher(
            consumer,
            self._finisher,
            self._executor,
            self._committer.give_back,
            gate=Gate(consumer, router, stores.backend if self._two_stores else None),
            budget=budget,
        )

    @property
    def running(self) -> int:
        """Return how many tasks run."""
        return self._executor.running

    @property
    def stuck(self) -> bool:
        """True when what runs waits for what cannot be run."""
        return self._executor.stuck

    def stop(self) -> None:
        """Take nothing more and end by the grace; called again when that has become shorter."""
        self._fetcher.stop()

    async def run(self, *, until_idle: bool, stalled: Callable[[], None]) -> bool:
        """Work until stopped, spent or idle; False if the lease was lost and a new term is wanted."""
        leases = await self._leases()
        heart = Heart(
            leases,
            lease=self._options.lease,
            beat=self._options.beat,
            warn=self._options.stall_warning,
            stall=self._options.stall,
            lapsed=self._lapse,
            stalled=stalled,
            attempt=self._executor.attempt_in,
        )
        heart.start()
        try:
            async with asyncio.TaskGroup() as duties:
                writing = duties.create_task(self._committer.run())
                watching = duties.create_task(self._watch.run())
                fetching = duties.create_task(self._fetcher.run(until_idle=until_idle))
                await self._grace.spares(fetching, parting=_PARTING)
                await self._drain()
                self._committer.close()
                if not await self._grace.spares(writing, parting=_PARTING):
                    _log.error("the store does not answer; what was not written runs again elsewhere")
                self._committer.abandon()
                fetching.cancel()
                watching.cancel()
        finally:
            await self._part(leases[1:], heart)
        return not self._lapsed

    async def _part(self, claims: Sequence[Lease], heart: Heart) -> None:
        """Let go of what is left, by whatever end, and of the claims' lease; the consumer drops its own."""
        left = self._executor.surrender(ended=True)
        await heart.stop()
        try:
            async with asyncio.timeout(_PARTING):
                if left and not self._lapsed:
                    once = [outcome.stopped(run.delivery, self._rules) for run in left if run.once]
                    if once:
                        await self._finisher.finish(once)
                    await self._finisher.release([run.delivery for run in left if not run.once])
                for lease in claims:
                    await asyncio.to_thread(lease.drop)
        except (UnavailableError, TimeoutError) as exc:
            _log.warning("what was held is free when its lease has lapsed: %s", str(exc) or "no answer")

    async def _leases(self) -> list[Lease]:
        if not self._two_stores:
            return [self._consumer.lease()]
        claims = await asyncio.to_thread(
            self._stores.backend.lease, self._consumer.id, seconds=self._options.lease
        )
        return [self._consumer.lease(), claims]

    def _lapse(self) -> None:
        if self._lapsed:
            return
        self._lapsed = True
        _log.error(
            "the lease of consumer %s was lost; what it held runs elsewhere, going on under a new id",
            self._consumer.id,
        )
        self._executor.interrupt(Reason.LOST)
        self._committer.abandon()
        self._fetcher.stop()

    async def _drain(self) -> None:
        """Wait for what runs, as long as there is grace; then cancel it, then give it up."""
        while self._executor.running and not self._lapsed and not self._grace.over:
            await self._change(self._grace.deadline)
        if not self._executor.running:
            return
        self._executor.interrupt(Reason.LOST if self._lapsed else Reason.STOP)
        last = asyncio.get_running_loop().time() + _PARTING
        while self._executor.running and asyncio.get_running_loop().time() < last:
            await self._change(last)
        for run in self._executor.surrender():
            if run.once:
                self._committer.commit(outcome.stopped(run.delivery, self._rules))
                continue
            _log.warning("%s does not end when cancelled; it is given back", label(run.delivery))
            self._committer.give_back(run.delivery)

    def _notes(self, run: Run) -> Notes:
        backend, sent = self._stores.backend, run.delivery.message
        return Notes(backend, self._consumer.id, sent, self._options.max_payload)

    async def _change(self, deadline: float | None) -> None:
        self._executor.changed.clear()
        try:
            async with asyncio.timeout_at(deadline):
                await self._executor.changed.wait()
        except TimeoutError:
            return

    def _finished(self, run: Run, finished: Finished) -> None:
        if finished is None:
            self._executor.leave(run.delivery)
            self._fetcher.freed(unrun=True)
        elif isinstance(finished, Ending):
            self._committer.commit(finished)
        else:
            self._committer.give_back(run.delivery, finished.delay)

    def _written(self, delivery: Delivery, ending: Ending | None, ok: bool | None) -> None:
        if ending is not None and not ok:
            _log.warning(
                "%s: its end is refused: it was cancelled, or another attempt owns it", label(delivery)
            )
            # still held, it would be so for as long as this worker lives; given back, it frees its slot
            self._committer.give_back(delivery)
            return
        run = self._executor.leave(delivery)
        self._fetcher.freed(unrun=ending is None)
        if run is not None and run.delivery is not delivery:
            # it was handed out again meanwhile; the next one to get it finds it committed
            self._committer.give_back(run.delivery)
        if delivery.losses >= SUSPECT:
            # the next suspect may be handed out now
            self._consumer.wake()
        if ending is None:
            return
        self._ended()
        if ending.state is not State.SUCCESS or _log.isEnabledFor(logging.INFO):
            _report(
                ending, self._stores.clock.time() - run.started if run is not None and run.started else 0.0
            )


def _rules(options: WorkerOptions, packer: Packer) -> Rules:
    return Rules(
        packer, options.name, options.result_ttl, options.failure_ttl, options.max_payload, options.retry
    )


def _report(ending: Ending, seconds: float) -> None:
    name = label(ending.delivery)
    if ending.opening is not None:
        _log.info("%s goes on as workflow %s", name, ending.opening.workflow)
        return
    if ending.state is State.SUCCESS:
        _log.info("%s succeeded in %.3f s", name, seconds)
        return
    error = codec.decode_error(ending.error) if ending.error is not None else None
    said = f"{error.type}: {error.message}" if error is not None else ""
    if ending.state is State.RETRY:
        _log.warning("%s failed, and is tried again: %s", name, said)
        return
    trace = f"\n{error.traceback}" if error is not None and error.traceback else ""
    _log.error(
        "%s ended %s: %s%s%s", name, ending.state, said, ", a dead letter" if ending.dead else "", trace
    )

"""Worker: serves queues with tasks, as often as it takes under a new consumer id.

Its duties are supervised here: one that fails is told and begun anew, and no message or outage
ends the worker.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Final, Self

from aioqueue.errors import ConfigurationError, UnavailableError
from aioqueue.ids import new_id
from aioqueue.middleware import Hooks
from aioqueue.models.stats import WorkerCard
from aioqueue.protocols.broker import Order
from aioqueue.router import Router
from aioqueue.schedules import shared_map
from aioqueue.stores import Stores
from aioqueue.worker.backoff import Backoff
from aioqueue.worker.birth import Birth
from aioqueue.worker.grace import Grace
from aioqueue.worker.maintenance import Maintenance
from aioqueue.worker.options import WorkerOptions
from aioqueue.worker.pools import Pools, import_path
from aioqueue.worker.signals import stopping
from aioqueue.worker.term import Term
from aioqueue.worker.ticker import Ticker

_log = logging.getLogger("aioqueue.worker")

STALLED: Final = 70
"""Exit code of a process whose event loop has stood still (EX_SOFTWARE)."""

_PARTING: Final = 0.8
"""Seconds past the grace that the store gets to hear the last words."""


class Worker:
    """Runs the tasks of a router. Made by ``server.worker(...)``.

    ``await run()`` works until a signal or ``stop()``; ``async with worker`` works beside your code.
    """

    def __init__(
        self,
        opened: AbstractAsyncContextManager[object],
        router: Router,
        stores: Stores,
        options: WorkerOptions,
        hooks: Hooks | None = None,
    ) -> None:
        self.options = options
        self._hooks = hooks or Hooks(())
        self.done: int = 0
        self._opened = opened
        self._router = router
        self._stores = stores
        self._birth = Birth(stores.store, options.birth)
        self._id = new_id()
        self._pools = Pools(options.concurrency)
        self._term: Term | None = None
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._over = asyncio.Event()
        self._over.set()
        self._grace = Grace()
        self._has_run = False
        self._beside: asyncio.Task[None] | None = None
        self._started = 0.0

    @property
    def running(self) -> int:
        """Return how many tasks run at this moment."""
        return self._term.running if self._term is not None else 0

    @property
    def busy_threads(self) -> int:
        """Return how many threads still run user code, also after the worker has ended."""
        return self._pools.busy_threads

    async def run(self, *, until_idle: bool = False) -> None:
        """Work until SIGINT, SIGTERM or ``stop()``; *until_idle*: or until nothing is ready and nothing runs.

        A first signal is graceful, a second one gives back at once what runs. A loop that stands
        still longer than *stall* ends the process with code 70. Raises ConfigurationError.
        """
        with stopping(self._signalled):
            await self._serve(until_idle=until_idle, stalled=lambda: os._exit(STALLED))

    async def stop(self, *, grace: float | None = None) -> None:
        """End: take nothing more, give what runs *grace* seconds, give back the rest. Idempotent.

        Waits until all is over. Of a worker that has not run yet, the first run ends at once.
        """
        if self._over.is_set() and self._has_run:
            return
        self._halt(self.options.grace if grace is None else grace)
        await self._over.wait()

    async def __aenter__(self) -> Self:
        self._beside = asyncio.create_task(self._serve(until_idle=False, stalled=lambda: None))
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait([self._beside, ready], return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            await self.stop(grace=0.0)
            raise
        finally:
            ready.cancel()
        if self._beside.done():
            await self._beside
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        if self._beside is not None:
            await self._beside

    async def _serve(self, *, until_idle: bool, stalled: Callable[[], None]) -> None:
        if not self._over.is_set():
            raise ConfigurationError("this worker runs already; make another with server.worker()")
        self._check()
        self._over.clear()
        self._has_run = True
        self._pools = Pools(self.options.concurrency)
        stack = AsyncExitStack()
        try:
            if await entered(stack, self._opened, self._stop, _log):
                await self._work(until_idle, stalled)
        finally:
            try:
                await self._in_time(stack.aclose(), "the stores do not close")
            finally:
                self._pools.close()
                self._fresh()

    def _fresh(self) -> None:
        """Be as new, for another run, perhaps in another loop."""
        self._over.set()
        self._stop, self._ready, self._over = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._over.set()
        self._grace = Grace()

    async def _in_time(self, work: Awaitable[None], late: str) -> None:
        """Await *work*; once a stop is asked for, no longer than the grace and a moment."""
        task = asyncio.ensure_future(work)
        if await self._grace.spares(task, parting=_PARTING):
            await task
        else:
            _log.error("%s in time; left as it is", late)
            task.cancel()

    async def _work(self, until_idle: bool, stalled: Callable[[], None]) -> None:
        self._started = self._stores.clock.time()
        stores, sweep = self._stores, self.options.sweep
        rounds = Maintenance(stores.upkeep, stores.store, self.card, self._birth, sweep=sweep)
        finished = asyncio.Event()
        duties = [rounds.run]
        if self.options.scheduler and stores.store is not None:
            duties.append(Ticker(stores, self._router, self.options).run)
        beside = [asyncio.create_task(supervised(partial(duty, finished), finished)) for duty in duties]
        backoff = Backoff()
        try:
            while not self._stop.is_set():
                try:
                    if await self._one_term(until_idle, stalled):
                        return
                    backoff.reset()
                except UnavailableError as exc:
                    _log.error("the store is away, trying again: %s", exc)
                except ConfigurationError:
                    raise
                except Exception:  # noqa: BLE001 - whatever a store answers, the next term is to be tried
                    _log.exception("a duty of the worker failed and is begun anew")
                await backoff.wait(self._stop)
        finally:
            finished.set()
            for duty in beside:
                await self._in_time(duty, "maintenance does not end")

    async def _one_term(self, until_idle: bool, stalled: Callable[[], None]) -> bool:
        options = self.options
        consume = self._stores.broker.consume(
            options.queues,
            prefetch=options.concurrency,
            lease=options.lease,
            worker=options.name,
            order=Order(options.weights, options.strict),
        )
        budget = None if options.max_tasks is None else max(0, options.max_tasks - self.done)
        stack = AsyncExitStack()
        consumer = await stack.enter_async_context(consume)
        try:
            await self._birth.tell(consumer.id)
            self._term = Term(
                consumer,
                self._stores,
                self._router,
                options,
                self._pools,
                grace=self._grace,
                budget=budget,
                ended=self._count,
                hooks=self._hooks,
            )
            if self._stop.is_set():
                self._term.stop()
            self._ready.set()
            _log.info("worker %s is ready: it serves %s", options.name, ", ".join(options.served))
            return await self._term.run(until_idle=until_idle, stalled=stalled)
        finally:
            self._term = None
            await self._in_time(stack.aclose(), "the consumer is not left")

    def card(self) -> WorkerCard:
        """Return what this worker says of itself."""
        return WorkerCard(
            id=self._id,
            name=self.options.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=self.options.queues,
            concurrency=self.options.concurrency,
            running=self.running,
            done=self.done,
            started_at=self._started,
            seen_at=self._stores.clock.time(),
            stuck=self._term is not None and self._term.stuck,
        )

    def _count(self) -> None:
        self.done += 1

    def _signalled(self, again: bool) -> None:
        _log.warning(
            "stopping at once" if again else "stopping; what runs gets %g s",
            *([] if again else [self.options.grace]),
        )
        self._halt(0.0 if again else self.options.grace)

    def _halt(self, grace: float) -> None:
        if not self._over.is_set():
            self._grace.ask(grace)
        self._stop.set()
        if self._term is not None:
            self._term.stop()

    def _check(self) -> None:
        """Read every task's annotations now, so that a wrong one is told at the start."""
        for task in self._router:
            _ = task.definition.reading
            if task.definition.executor == "process":
                import_path(task.definition)
        if self._router.limited and not self._stores.broker.capabilities.limits:
            name = min(self._router.limited)
            raise ConfigurationError(
                f"task {name!r} has limits, and {self._stores.urls[0]} keeps none; take a broker that does, "
                "or leave out rate_limit and max_running"
            )
        if self.options.scheduler and self._router.scheduled:
            shared_map(self._stores)
        for schedule in self._router.scheduled.values():
            schedule.make()


async def entered(
    stack: AsyncExitStack,
    opened: AbstractAsyncContextManager[object],
    stop: asyncio.Event,
    log: logging.Logger,
) -> bool:
    """Open the stores, as often as it takes; False if a stop came first."""
    backoff = Backoff()
    while not stop.is_set():
        try:
            await stack.enter_async_context(opened)
        except UnavailableError as exc:
            log.error("cannot reach the store, trying again: %s", exc)
            await backoff.wait(stop)
            continue
        return True
    return False


async def supervised(duty: Callable[[], Awaitable[None]], finished: asyncio.Event) -> None:
    """Run *duty* until it ends; one that fails is told and begun anew, until *finished*."""
    backoff = Backoff()
    while True:
        try:
            await duty()
        except Exception:  # noqa: BLE001 - a duty that ends would leave the worker half alive
            _log.exception("a duty of the worker failed%s", "" if finished.is_set() else " and is begun anew")
            if finished.is_set():
                return
            await backoff.wait(finished)
        else:
            return

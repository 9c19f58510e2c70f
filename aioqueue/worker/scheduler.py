"""Scheduler: a process that fires schedules and runs no task; as many of them as one likes."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from aioqueue.router import Router
from aioqueue.stores import Stores
from aioqueue.worker.options import WorkerOptions
from aioqueue.worker.signals import stopping
from aioqueue.worker.ticker import Ticker
from aioqueue.worker.worker import entered, supervised

_log = logging.getLogger("aioqueue.schedules")


class Scheduler:
    """Fires the schedules of a router and of the store. Made by ``server.scheduler()``."""

    def __init__(
        self,
        opened: AbstractAsyncContextManager[object],
        router: Router,
        stores: Stores,
        options: WorkerOptions,
    ) -> None:
        self._opened = opened
        self._router = router
        self._ticker = Ticker(stores, router, options)
        self._name = options.name
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Tick until SIGINT, SIGTERM or ``stop()``; a store that is away is waited for.

        Raises SignatureError for a call that does not fit its task.
        """
        for schedule in self._router.scheduled.values():
            schedule.make()
        with stopping(lambda again: self._stop.set()):
            async with AsyncExitStack() as stack:
                if await entered(stack, self._opened, self._stop, _log):
                    _log.info("scheduler %s is ready", self._name)
                    await supervised(lambda: self._ticker.run(self._stop), self._stop)
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End ``run`` as soon as what is under way is done."""
        self._stop.set()

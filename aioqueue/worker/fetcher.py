"""Fetcher: takes from the queues what there are free slots for, and nothing ahead.

At once it takes no more than a third of the slots: while one third runs, the store writes what the second
came to and hands out the last one, which is asked for before the first is begun.

It ends by its own event, never by being cancelled: a delivery that is on its way would be lost
sight of.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from aioqueue.errors import UnavailableError
from aioqueue.protocols.broker import Consumer
from aioqueue.protocols.finisher import Finisher
from aioqueue.protocols.messages import Delivery, Start, Verdict
from aioqueue.worker.backoff import Backoff
from aioqueue.worker.executor import Executor
from aioqueue.worker.gate import Gate

_log = logging.getLogger("aioqueue.worker")

_PATIENCE: Final = 5.0
BATCH: Final = 100
_LEAVES: Final = 3
"""Turns of the loop by which what is asked of a store has left: one to ask, one to write, one to flush."""


class Fetcher:
    """Feeds an executor.

    give_back: takes what was handed out too late to be run. gate: keeps back what is limited. budget: how
    many it may take before it ends by itself; None has no limit.
    """

    def __init__(
        self,
        consumer: Consumer,
        finisher: Finisher,
        executor: Executor,
        give_back: Callable[[Delivery], None],
        *,
        gate: Gate,
        budget: int | None,
    ) -> None:
        self._gate = gate
        self._give_back = give_back
        self._consumer = consumer
        self._finisher = finisher
        self._executor = executor
        self._budget = budget
        self._stop = asyncio.Event()
        self._until_idle = False
        self._ahead: asyncio.Task[list[Delivery]] | None = None
        self._asked = 0

    def stop(self) -> None:
        """Take nothing more; what is being handed out this moment is given back."""
        self._stop.set()
        self._consumer.wake()
        self._executor.changed.set()

    def freed(self, *, unrun: bool) -> None:
        """Hear that a slot is free again; *unrun*: what it held was given back and counts for nothing."""
        if unrun and self._budget is not None:
            self._budget += 1
        if self._until_idle and not self._executor.running:
            # the last one to end is the end
            self._consumer.wake()

    async def run(self, *, until_idle: bool = False) -> None:
        """Fetch until stopped, until the budget is spent or, *until_idle*, until nothing is left."""
        self._until_idle = until_idle
        try:
            await self._fetch_all(until_idle)
        except asyncio.CancelledError:
            if self._ahead is not None:
                # what it is handed is given back with the consumer
                self._ahead.cancel()
            raise
        finally:
            await self._end_ahead()

    async def _fetch_all(self, until_idle: bool) -> None:
        backoff = Backoff()
        while not self._stop.is_set():
            running, ahead = self._executor.running, self._ahead is not None
            if self._budget == 0 and not running:
                return
            limit = self._most(taken=0)
            if limit <= 0 and not ahead:
                await self._slot()
                continue
            try:
                patience = 0.0 if until_idle and not running else _PATIENCE
                deliveries = await self._received(limit, patience)
                await self._admit(deliveries)
            except UnavailableError as exc:
                _log.warning("cannot fetch tasks, trying again: %s", exc)
                await backoff.wait(self._stop)
                continue
            backoff.reset()
            # what was asked for ahead knows nothing of what has been released since
            if until_idle and not deliveries and not running and not ahead:
                return

    def _most(self, *, taken: int) -> int:
        """Return how many may be asked for, where so many have been handed out that do not run yet."""
        most = BATCH if self._budget is None else min(BATCH, self._budget - taken)
        return min(self._executor.free - taken, self._executor.third, most)

    async def _received(self, limit: int, patience: float) -> list[Delivery]:
        """Return what is handed out; if that is all that was asked for, ask for more before it is begun."""
        if self._ahead is not None:
            ahead, self._ahead, limit = self._ahead, None, self._asked
            deliveries = await ahead
        else:
            deliveries = await self._consumer.receive(limit, timeout=patience)
        more = self._most(taken=len(deliveries))
        if len(deliveries) >= limit and more > 0 and not self._stop.is_set():
            self._asked = more
            patience = 0.0 if self._until_idle else _PATIENCE
            self._ahead = asyncio.create_task(self._consumer.receive(more, timeout=patience))
            for _ in range(_LEAVES):
                await asyncio.sleep(0)
        return deliveries

    async def _end_ahead(self) -> None:
        """Give back what is handed out when nothing is to be begun any more."""
        if self._ahead is None:
            return
        self._consumer.wake()
        try:
            for delivery in await self._ahead:
                self._give_back(delivery)
        except UnavailableError as exc:
            _log.warning("what was being handed out is free when its lease has lapsed: %s", exc)
        finally:
            self._ahead.cancel()

    async def _admit(self, deliveries: list[Delivery]) -> None:
        free, limited = self._gate.parted(deliveries)
        # what is not limited waits for no answer about what is
        await self._begin(free)
        if limited:
            await self._begin(await self._gate.admitted(limited, self._stop))

    async def _begin(self, deliveries: list[Delivery]) -> None:
        backoff = Backoff()
        while deliveries:
            try:
                starts = await self._finisher.begin(deliveries)
            except UnavailableError as exc:
                # what was handed out is ours until the lease is gone; to drop it would strand it
                _log.warning("cannot begin tasks, trying again: %s", exc)
                await backoff.wait(self._stop)
                if not self._stop.is_set():
                    continue
                starts = [Start(Verdict.RUN)] * len(deliveries)
            for delivery, start in zip(deliveries, starts, strict=True):
                if start.verdict is Verdict.RUN:
                    self._run(delivery, start)
            return

    def _run(self, delivery: Delivery, start: Start) -> None:
        if self._stop.is_set():
            self._give_back(delivery)
            return
        self._executor.start(delivery, start)
        self._budget = None if self._budget is None else self._budget - 1

    async def _slot(self) -> None:
        """Wait until a slot is free, or the end."""
        self._executor.changed.clear()
        if not self._stop.is_set():
            await self._executor.changed.wait()

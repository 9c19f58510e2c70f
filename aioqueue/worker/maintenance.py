"""Maintenance: the rounds a worker makes for all: lapsed leases, old records, its own card and birth.

Every worker makes them; the stores see to it that two at once do no harm.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from aioqueue.errors import UnavailableError
from aioqueue.models.stats import WorkerCard
from aioqueue.patience import CARDS
from aioqueue.protocols.broker import Broker
from aioqueue.protocols.store import Store
from aioqueue.worker.birth import Birth

_log = logging.getLogger("aioqueue.worker")


class Maintenance:
    """One round every *sweep* seconds. card: makes this worker's card as it stands. birth: is renewed."""

    def __init__(
        self,
        brokers: Sequence[Broker],
        store: Store | None,
        card: Callable[[], WorkerCard],
        birth: Birth,
        *,
        sweep: float,
    ) -> None:
        self._brokers = brokers
        self._store = store
        self._card = card
        self._birth = birth
        self._sweep = sweep

    async def run(self, stop: asyncio.Event) -> None:
        """Make rounds until *stop*; card and birth are taken away at the end."""
        while not stop.is_set():
            await self._round()
            try:
                async with asyncio.timeout(self._sweep):
                    await stop.wait()
            except TimeoutError:
                continue
        await self._sign_off()

    async def _round(self) -> None:
        try:
            for broker in self._brokers:
                moved = await broker.maintain()
                if moved:
                    _log.warning("handed on %d tasks of workers that died", moved)
            if self._store is not None:
                card = self._card()
                await self._store.put(CARDS + card.id, card.model_dump_json().encode(), ttl=3 * self._sweep)
            await self._birth.renew()
        except UnavailableError as exc:
            _log.warning("maintenance put off: %s", exc)

    async def _sign_off(self) -> None:
        try:
            if self._store is not None:
                await self._store.delete(CARDS + self._card().id)
            await self._birth.forget()
        except UnavailableError as exc:
            _log.info("the worker's card stays until its time is over: %s", exc)

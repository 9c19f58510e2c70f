"""Patience: what a waiter does while it waits, so that it does not wait in silence, or for ever.

It tells once that no live worker serves the queue; and in a task it ends a wait that nothing would end.
"""

from __future__ import annotations

import logging
import os
from typing import Final, Self

from pydantic import ValidationError

from aioqueue.clock import Clock
from aioqueue.context import running
from aioqueue.errors import UnavailableError
from aioqueue.front import Front
from aioqueue.models.stats import WorkerCard
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.messages import Record
from aioqueue.protocols.store import Store
from aioqueue.waits import Wait

_log = logging.getLogger("aioqueue.results")

CARDS: Final = "worker:"
"""Prefix under which live workers' cards stand in the store."""


class Patience:
    """The patience of one waiter, for as long as it is entered.

    store: where workers' cards are; None where nobody can tell.
    """

    def __init__(self, backend: Backend, store: Store | None, clock: Clock) -> None:
        self._backend = backend
        self._store = store
        self._clock = clock
        self._wait = Wait()
        self._told = store is None
        self._front = Front(backend, clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._wait.on(None)

    @property
    def in_task(self) -> bool:
        """True if it is a task that waits."""
        return self._wait.in_task

    async def look(self, record: Record, *, whole: bool, over: bool) -> None:
        """Look at what is awaited, which has not ended. Raises TaskDeadlockError, and nothing else.

        whole: it is the outcome of a workflow, whose nodes count. over: it has been waited for a while. A
        store that is away is asked again, a card of another version is skipped.
        """
        if self._told and not self._wait.in_task:
            return
        try:
            due = await self._front.waiting(record, whole=whole)
            self._wait.on(None if due is None else due.queue)
            if due is not None and over:
                await self._tell(due)
        except UnavailableError as exc:
            _log.debug("cannot tell whether a worker serves queue %r: %s", record.queue, exc)

    async def _tell(self, waiting: Record) -> None:
        cards = await self._cards(waiting.queue)
        if self._wait.stuck and not [card for card in cards if not (card.stuck or _is_here(card))]:
            raise self._wait.deadlock(waiting.queue)
        if cards or self._told:
            return
        self._told = True
        _log.warning(
            "%s[%s] waits on queue %r and no live worker serves it; start one: aioqueue worker APP -q %s",
            waiting.name,
            waiting.id,
            waiting.queue,
            waiting.queue,
        )

    async def _cards(self, queue: str) -> list[WorkerCard]:
        """Return the cards of the live workers that serve a queue."""
        listed = {} if self._store is None else await self._store.list(CARDS)
        cards = (_card(data) for data in listed.values())
        return [card for card in cards if card is not None and queue in card.queues]


def _is_here(card: WorkerCard) -> bool:
    context = running.get(None)
    return context is not None and card.name == context.worker and card.pid == os.getpid()


def _card(data: bytes) -> WorkerCard | None:
    try:
        return WorkerCard.model_validate_json(data)
    except ValidationError as exc:
        _log.debug("a worker's card cannot be read, perhaps of another version: %s", exc)
        return None

"""Gate: asks the broker whether tasks that are limited may start, before any of them begins.

What may not is back with the broker by its answer, and takes no slot of this worker. A broker that is one
store with the backend looks at the record too. Elsewhere it is looked at here: the broker would put off what
was cancelled until nobody knows of that any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

from aioqueue import codec
from aioqueue.errors import UnavailableError
from aioqueue.limits import Limit
from aioqueue.models.signature import Signature
from aioqueue.models.workflow import Workflow
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.broker import Consumer
from aioqueue.protocols.limits import Limits
from aioqueue.protocols.messages import Delivery
from aioqueue.router import Router
from aioqueue.worker.backoff import Backoff

_log = logging.getLogger("aioqueue.worker")

_YOUNG: Final = 3_600.0
"""Seconds after it was sent in which nobody looks whether a task has ended: one that begins is told, and one
that is put off comes again, PARKED s later at most, while the record of its end lasts, COMMIT_TTL s.
"""


class Gate:
    """The limits of one router's tasks, at one consumer.

    backend: where the records are, if it is another store.
    """

    def __init__(self, consumer: Consumer, router: Router, backend: Backend | None = None) -> None:
        self._consumer = consumer
        self._backend = backend
        self._limited = router.limited

    def parted(self, deliveries: list[Delivery]) -> tuple[list[Delivery], list[Delivery]]:
        """Return those whose tasks are free to start, and those whose tasks are limited."""
        known = self._limited
        if not known:
            return deliveries, []
        limited = [delivery for delivery in deliveries if delivery.message.name in known]
        return [delivery for delivery in deliveries if delivery.message.name not in known], limited

    async def admitted(self, deliveries: Sequence[Delivery], stop: asyncio.Event) -> list[Delivery]:
        """Return those that may start now, and those that have ended, to be told so as they begin.

        On *stop* also those nobody has answered for, to be given back.
        """
        backoff = Backoff()
        while not stop.is_set():
            try:
                ended = await self._ended(deliveries)
                asks = [(d, _limits(self._limited[d.message.name], d)) for d in deliveries if d not in ended]
                answers = await self._consumer.admit(asks)
            except UnavailableError as exc:
                # what was handed out is ours until the lease is gone; to drop it would strand it
                _log.warning("cannot ask for the limits of tasks, trying again: %s", exc)
                await backoff.wait(stop)
                continue
            return [*ended, *(delivery for (delivery, _), ok in zip(asks, answers, strict=True) if ok)]
        return list(deliveries)

    async def _ended(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Return those whose tasks have ended, as far as that is to be looked for here."""
        old = [d for d in deliveries if d.message.tracked and d.at - d.message.sent >= _YOUNG]
        if self._backend is None or not old:
            return []
        records = await self._backend.get([delivery.message.id for delivery in old])
        return [
            d for d, record in zip(old, records, strict=True) if record is not None and record.state.final
        ]


def _limits(limit: Limit, delivery: Delivery) -> Limits:
    return limit.of(_call(delivery) if limit.by is not None else None)


def _call(delivery: Delivery) -> Signature[Any] | None:
    """Return the call; what cannot be read is told when it is run."""
    try:
        call = codec.read(delivery.message).call
    except (codec.NewerVersionError, codec.DecodeError):
        return None
    return None if isinstance(call, Workflow) else call

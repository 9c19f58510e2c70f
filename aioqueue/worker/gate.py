"""Gate: asks the broker whether tasks that are limited may start, before any of them begins.

What may not is back with the broker by its answer, and takes no slot of this worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from aioqueue import codec
from aioqueue.errors import UnavailableError
from aioqueue.limits import Limit
from aioqueue.models.signature import Signature
from aioqueue.models.workflow import Workflow
from aioqueue.protocols.broker import Consumer
from aioqueue.protocols.limits import Limits
from aioqueue.protocols.messages import Delivery
from aioqueue.router import Router
from aioqueue.worker.backoff import Backoff

_log = logging.getLogger("aioqueue.worker")


class Gate:
    """The limits of one router's tasks, at one consumer."""

    def __init__(self, consumer: Consumer, router: Router) -> None:
        self._consumer = consumer
        self._limited = router.limited

    def parted(self, deliveries: list[Delivery]) -> tuple[list[Delivery], list[Delivery]]:
        """Return those whose tasks are free to start, and those whose tasks are limited."""
        known = self._limited
        if not known:
            return deliveries, []
        limited = [delivery for delivery in deliveries if delivery.message.name in known]
        return [delivery for delivery in deliveries if delivery.message.name not in known], limited

    async def admitted(self, deliveries: Sequence[Delivery], stop: asyncio.Event) -> list[Delivery]:
        """Return those that may start now; on *stop* also those nobody has answered for, to be given back."""
        asks = [
            (delivery, _limits(self._limited[delivery.message.name], delivery)) for delivery in deliveries
        ]
        backoff = Backoff()
        while not stop.is_set():
            try:
                answers = await self._consumer.admit(asks)
            except UnavailableError as exc:
                # what was handed out is ours until the lease is gone; to drop it would strand it
                _log.warning("cannot ask for the limits of tasks, trying again: %s", exc)
                await backoff.wait(stop)
                continue
            return [delivery for delivery, admitted in zip(deliveries, answers, strict=True) if admitted]
        return list(deliveries)


def _limits(limit: Limit, delivery: Delivery) -> Limits:
    return limit.of(_call(delivery) if limit.by is not None else None)


def _call(delivery: Delivery) -> Signature[Any] | None:
    """Return the call; what cannot be read is told when it is run."""
    try:
        call = codec.read(delivery.message).call
    except (codec.NewerVersionError, codec.DecodeError):
        return None
    return None if isinstance(call, Workflow) else call

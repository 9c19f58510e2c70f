"""Committer: group commit. What ends in the same moment is committed in one call.

While a batch is on its way the next one gathers. A store that is away is asked again until it
answers or the lease is lost: an ending is safe to repeat, and never dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from aioqueue.errors import UnavailableError
from aioqueue.logs import Attempt
from aioqueue.protocols.finisher import Finisher
from aioqueue.protocols.messages import Delivery, Ending
from aioqueue.worker.backoff import Backoff

_log = logging.getLogger("aioqueue.worker")

T = TypeVar("T")

BATCH: Final = 200
BATCH_BYTES: Final = 1_048_576


class Committer:
    """Writes endings and gives deliveries back. done: called for each that the store has answered.

    Its last argument: True committed, False refused, None given back or let go. unwritable: makes
    the ending that stands for one the store cannot take.
    """

    def __init__(
        self,
        finisher: Finisher,
        done: Callable[[Delivery, Ending | None, bool | None], None],
        unwritable: Callable[[Ending, Exception], Ending],
    ) -> None:
        self._unwritable = unwritable
        self._finisher = finisher
        self._done = done
        self._endings: deque[Ending] = deque()
        self._returns: deque[tuple[Delivery, float]] = deque()
        self._wake = asyncio.Event()
        self._abandoned = asyncio.Event()
        self._closing = False

    def commit(self, ending: Ending) -> None:
        """Take an ending into the next batch."""
        self._endings.append(ending)
        self._wake.set()

    def give_back(self, delivery: Delivery, delay: float = 0.0) -> None:
        """Take a delivery into the next batch of those given back."""
        self._returns.append((delivery, delay))
        self._wake.set()

    def close(self) -> None:
        """End once all that was handed in is written."""
        self._closing = True
        self._wake.set()

    def abandon(self) -> None:
        """End now: the lease is lost, nothing that waits here is ours to say."""
        self._abandoned.set()
        self.close()

    async def run(self) -> None:
        """Write until closed."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while (self._endings or self._returns) and not self._abandoned.is_set():
                await self._write()
            if self._abandoned.is_set():
                self._drop()
            if self._closing and not self._endings and not self._returns:
                return

    async def _write(self) -> None:
        if self._endings:
            await self._finish(self._next_batch())
        if self._returns:
            delay = self._returns[0][1]
            given = [delivery for delivery, own in self._returns if own == delay]
            self._returns = deque((delivery, own) for delivery, own in self._returns if own != delay)
            await self._persist(lambda: self._finisher.release(given, delay=delay))
            self._let_go(given)

    async def _finish(self, batch: Sequence[Ending]) -> None:
        try:
            answers = await self._persist(lambda: self._finisher.finish(batch))
        except Exception as exc:  # noqa: BLE001 - an ending that no store can take must not stop the others
            await self._finish_apart(batch, exc)
        else:
            self._answered(batch, answers)

    async def _finish_apart(self, batch: Sequence[Ending], exc: Exception) -> None:
        """Write endings one by one; one that cannot be written ends as just that."""
        if len(batch) > 1:
            for ending in batch:
                await self._finish([ending])
            return
        attempt = Attempt.of(batch[0].delivery.message)
        _log.exception("the end of %s cannot be written", attempt, exc_info=exc)
        instead = [self._unwritable(batch[0], exc)]
        self._answered(instead, await self._persist(lambda: self._finisher.finish(instead)))

    def _answered(self, batch: Sequence[Ending], answers: Sequence[bool] | None) -> None:
        if answers is None:
            self._let_go([ending.delivery for ending in batch])
            return
        for ending, ok in zip(batch, answers, strict=True):
            self._done(ending.delivery, ending, ok)

    def _let_go(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._done(delivery, None, None)

    def _next_batch(self) -> list[Ending]:
        batch: list[Ending] = []
        size = 0
        while self._endings and len(batch) < BATCH and size < BATCH_BYTES:
            ending = self._endings.popleft()
            size += len(ending.value or b"")
            for message in ending.follow:
                size += len(message.body)
            batch.append(ending)
        return batch

    async def _persist(self, write: Callable[[], Awaitable[T]]) -> T | None:
        backoff = Backoff()
        while not self._abandoned.is_set():
            try:
                return await write()
            except UnavailableError as exc:
                _log.warning("cannot write what tasks came to, trying again: %s", exc)
                await backoff.wait(self._abandoned)
        return None

    def _drop(self) -> None:
        left = [*(ending.delivery for ending in self._endings), *(delivery for delivery, _ in self._returns)]
        self._endings.clear()
        self._returns.clear()
        self._let_go(left)

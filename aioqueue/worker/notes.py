"""Notes: what one run tells of itself while it runs, written in batches into the log of its task.

While a batch is on its way the next one gathers; a run that yields faster than the store writes waits for it.
Nothing is written for a run that tells nothing. A store that is away is asked again until the run is
interrupted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from aioqueue import codec
from aioqueue.errors import AioqueueError, PayloadTooLargeError, UnavailableError
from aioqueue.logs import Attempt
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.log import LOG_BYTES, LOG_VALUES, Note
from aioqueue.protocols.messages import Message
from aioqueue.worker.backoff import Backoff

_log = logging.getLogger("aioqueue.worker")

_BATCH: Final = 200
_BATCH_BYTES: Final = 262_144
_PAUSE: Final = 0.05
"""Seconds between two batches, unless one is full: what is told meanwhile goes together."""
_PARTING: Final = 0.6
"""Seconds that what was told gets to be written when the attempt has failed."""


class Notes:
    """The notes of one run. owner: who runs it. max_payload: bytes of one value.

    refusal: why a value cannot be told, if that has ended the run.
    """

    def __init__(self, backend: Backend, owner: str, message: Message, max_payload: int) -> None:
        self.refusal: AioqueueError | None = None
        self._backend = backend
        self._owner = owner
        self._message = message
        self._max_payload = max_payload
        self._waiting: deque[Note] = deque()
        self._latest: Note | None = None
        self._size = 0
        self._written = 0
        self._values = self._bytes = 0
        self._hurry = asyncio.Event()
        self._room = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None
        self._refused = False
        self._fault: BaseException | None = None

    def progress(self, data: bytes) -> None:
        """Tell progress; it takes the place of what was told before and has not left yet."""
        if self._latest is not None and self._latest in self._waiting:
            self._waiting.remove(self._latest)
            self._size -= len(self._latest.data)
        self._latest = Note(False, data)
        self._add(self._latest)

    async def value(self, value: object, dump: Callable[[object], Any]) -> None:
        """Tell a value; waits for room. Raises the refusal: SignatureError, PayloadTooLargeError."""
        try:
            data = codec.encode_value(dump(value))
            self._count(len(data))
        except AioqueueError as exc:
            self.refusal = exc
            raise
        self._add(Note(True, data))
        while self._full and not self._refused:
            self._hurry.set()
            self._room.clear()
            await self._room.wait()
        if self._fault is not None:
            raise self._fault

    async def written(self) -> None:
        """Return when all that was told is written, or is not ours to say any more."""
        while self._writing is not None:
            self._hurry.set()
            await asyncio.wait([self._writing])
            # what has ended is told in the next turn of the loop
            await asyncio.sleep(0)
        if self._fault is not None:
            raise self._fault

    async def leave(self, *, write: bool) -> None:
        """End, with a moment to *write* what was told; interrupted or not, this raises nothing."""
        writing = self._writing
        if writing is not None and write:
            self._hurry.set()
            with suppress(asyncio.CancelledError):
                await asyncio.wait([writing], timeout=_PARTING)
        if writing is not None:
            writing.cancel()

    def _count(self, size: int) -> None:
        self._values, self._bytes = self._values + 1, self._bytes + size
        if size > self._max_payload:
            raise PayloadTooLargeError(
                f"value {self._values} has {size} bytes, max_payload is {self._max_payload}; "
                "yield a reference instead"
            )
        if self._values > LOG_VALUES or self._bytes > LOG_BYTES:
            raise PayloadTooLargeError(
                f"it has yielded {self._values} values of {self._bytes} bytes, and of a task {LOG_VALUES} of"
                f" {LOG_BYTES} bytes are kept; yield several at a time, or references"
            )

    @property
    def _full(self) -> bool:
        return len(self._waiting) >= _BATCH or self._size >= _BATCH_BYTES

    def _add(self, note: Note) -> None:
        if self._refused:
            return
        self._waiting.append(note)
        self._size += len(note.data)
        if self._writing is None or self._writing.done():
            name = f"notes of {Attempt.of(self._message)}"
            self._writing = asyncio.get_running_loop().create_task(self._write(), name=name)
            self._writing.add_done_callback(self._ended)

    def _ended(self, writing: asyncio.Task[None]) -> None:
        if self._writing is writing:
            self._writing = None
        if not writing.cancelled() and (fault := writing.exception()) is not None:
            self._refused, self._fault = True, fault
        self._room.set()

    async def _write(self) -> None:
        while self._waiting:
            self._hurry.clear()
            batch = self._taken()
            if not await self._kept(batch):
                self._refused = True
                self._waiting.clear()
                return
            self._written += len(batch)
            if not self._full:
                self._room.set()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PAUSE):
                        await self._hurry.wait()

    def _taken(self) -> list[Note]:
        batch: list[Note] = []
        size = 0
        while self._waiting and len(batch) < _BATCH and size < _BATCH_BYTES:
            batch.append(self._waiting.popleft())
            size += len(batch[-1].data)
        self._size -= size
        return batch

    async def _kept(self, batch: list[Note]) -> bool:
        """Write a batch; False if the run is not this worker's any more, or nobody may read of it."""
        sent, backoff = self._message, Backoff()
        while True:
            try:
                return await self._backend.note(
                    sent.id, batch, first=self._written, attempt=sent.attempt, owner=self._owner
                )
            except UnavailableError as exc:
                _log.warning("what %s tells cannot be written, trying again: %s", Attempt.of(sent), exc)
                await backoff.wait(asyncio.Event())

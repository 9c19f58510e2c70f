"""Waiters: who in this process waits for which task, and the few reads that answer all of them.

Subscribe, then read, then wait: nothing falls between. A slow poll behind it is the truth, should
the subscription be cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from redis.exceptions import RedisError

from aioqueue.adapters.redis.listener import Listener, Told
from aioqueue.errors import BackendUnavailableError, UnavailableError
from aioqueue.protocols.messages import Record

_BATCH: Final = 200
_POLL: Final = 5.0
_AGAIN: Final = 0.5
_PATIENCE: Final = 10.0

Get = Callable[[Sequence[str]], Awaitable[list[Record | None]]]
_Answer = asyncio.Future[Record | None]


class Waiters:
    """All waits of one session. prefix: of the channels, before a task's id."""

    def __init__(self, listener: Listener, prefix: str, get: Get) -> None:
        self._listener = listener
        self._prefix = prefix
        self._get = get
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, set[_Answer]] = {}
        self._told: dict[str, Told] = {}
        self._asked: set[str] = set()
        self._looking: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._away_since: float | None = None
        self._closed = False

    async def wait(self, id: str, *, timeout: float) -> Record | None:
        """Return the record once it is final, or as it stands after *timeout* s; None if there is none.

        Raises UnavailableError when the server has been away for 10 s.
        """
        answer: _Answer = self._loop.create_future()
        self._enter(id, answer)
        try:
            async with asyncio.timeout(timeout):
                return await answer
        except TimeoutError:
            return await self._read(id)
        finally:
            self._leave(id, answer)

    async def _read(self, id: str) -> Record | None:
        """Return the record, asking until the server has been away for too long."""
        over = self._loop.time() + _PATIENCE
        while True:
            try:
                return (await self._get([id]))[0]
            except UnavailableError:
                if self._loop.time() >= over or self._closed:
                    raise
            await asyncio.sleep(_AGAIN)

    def close(self) -> None:
        """Look no more, and tell those who wait."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()
        for answers in self._waiting.values():
            _fail(answers, BackendUnavailableError("the adapter was closed"))

    def _enter(self, id: str, answer: _Answer) -> None:
        answers = self._waiting.get(id)
        if answers is not None:
            answers.add(answer)
            # until it is confirmed somebody looks anyway
            if self._listener.confirmed(self._prefix + id):
                self._look(id)
            return
        self._waiting[id] = {answer}
        self._told[id] = lambda _: self._look(id)
        self._listener.subscribe(self._prefix + id, self._told[id])
        if self._timer is None:
            self._timer = self._loop.call_later(_POLL, self._poll)

    def _leave(self, id: str, answer: _Answer) -> None:
        answers = self._waiting.get(id)
        if answers is None:
            return
        answers.discard(answer)
        if not answers:
            del self._waiting[id]
            self._listener.unsubscribe(self._prefix + id, self._told.pop(id))

    def _poll(self) -> None:
        self._timer = None
        if self._waiting:
            self._timer = self._loop.call_later(_POLL, self._poll)
            for id in self._waiting:
                self._look(id)

    def _look(self, id: str) -> None:
        """Have the record read with others that are asked for at this moment."""
        self._asked.add(id)
        if self._looking is None:
            self._looking = self._loop.create_task(self._look_at_all(), name="aioqueue-redis-look")

    async def _look_at_all(self) -> None:
        try:
            while self._asked:
                batch = [self._asked.pop() for _ in range(min(_BATCH, len(self._asked)))]
                batch = [id for id in batch if id in self._waiting]
                if batch:
                    await self._look_at(batch)
        finally:
            self._looking = None

    async def _look_at(self, ids: Sequence[str]) -> None:
        try:
            records = await self._get(ids)
        except UnavailableError as exc:
            self._away(ids, exc)
            await asyncio.sleep(_AGAIN)
            return
        except RedisError as exc:
            for id in ids:
                _fail(self._waiting.get(id, ()), exc)
            return
        self._away_since = None
        for id, record in zip(ids, records, strict=True):
            if record is None or record.state.final:
                for answer in self._waiting.get(id, ()):
                    if not answer.done():
                        answer.set_result(record)

    def _away(self, ids: Sequence[str], exc: UnavailableError) -> None:
        """Ask again, or tell those who wait that it has been too long."""
        now = self._loop.time()
        if self._away_since is None:
            self._away_since = now
        self._asked.update(ids)
        if now - self._away_since < _PATIENCE:
            return
        for id in ids:
            _fail(self._waiting.get(id, ()), exc)


def _fail(answers: Iterable[_Answer], exc: Exception) -> None:
    for answer in answers:
        if not answer.done():
            # of its own, as tracebacks gather in an exception that is raised more than once
            answer.set_exception(type(exc)(*exc.args))

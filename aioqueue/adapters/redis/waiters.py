"""Waiters: who in this process waits for which task, and the few reads that answer all of them.

Subscribe, then read, then wait: nothing falls between. What is told at the end of a task that was read while
it was open is its record; else it is read again. A slow poll behind it is the truth, should the subscription
be cut. For a task that this process has just sent the reply to its sender is waited for first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from redis.exceptions import RedisError

from aioqueue.adapters.redis.listener import Listener
from aioqueue.adapters.redis.replies import Replies
from aioqueue.adapters.redis.rows import Found, ended
from aioqueue.advance import numbered
from aioqueue.errors import BackendUnavailableError, UnavailableError
from aioqueue.protocols.messages import Record

_BATCH: Final = 200
_POLL: Final = 5.0
_AGAIN: Final = 0.5
_LINGER: Final = 1.0
_PATIENCE: Final = 10.0


@dataclass(slots=True)
class _Workflow:
    """The nodes of a workflow that are waited for; its id tells of those that can start no more."""

    told: Callable[[bytes | None], None]
    ids: set[str] = field(default_factory=set[str])


Read = Callable[[Sequence[str]], Awaitable[Sequence[Found]]]
_Answer = asyncio.Future[Record | None]


@dataclass(slots=True)
class _Waited:
    """A task that is waited for. ending: answered when it is final; looking: with the next read.

    seen: its record as it was read last, while it had not ended. followed: its channel is listened to.
    soon: when it will be, unless its sender is told before.
    """

    told: Callable[[bytes | None], None]
    followed: bool = False
    soon: asyncio.TimerHandle | None = None
    ending: set[_Answer] = field(default_factory=set[_Answer])
    looking: set[_Answer] = field(default_factory=set[_Answer])
    seen: Record | None = None

    @property
    def idle(self) -> bool:
        """True if nobody waits."""
        return not self.ending and not self.looking


class Waiters:
    """All waits of one session. prefix: of the channels, before a task's id."""

    def __init__(self, listener: Listener, replies: Replies, prefix: str, read: Read) -> None:
        self._listener = listener
        self._replies = replies
        self._prefix = prefix
        self._read = read
        self._loop = asyncio.get_running_loop()
        self._waited: dict[str, _Waited] = {}
        self._workflows: dict[str, _Workflow] = {}
        self._asked: dict[str, None] = {}
        self._looking: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._away_since: float | None = None

    async def wait(self, id: str, *, timeout: float) -> Record | None:
        """Return the record once it is final, or as it stands after *timeout* s; None if there is none.

        Raises UnavailableError when the server has been away for 10 s.
        """
        waited = self._enter(id)
        ending: _Answer = self._loop.create_future()
        looking: _Answer = self._loop.create_future()
        waited.ending.add(ending)
        try:
            async with asyncio.timeout(timeout):
                return await ending
        except TimeoutError:
            waited.looking.add(looking)
            self._look(id)
            return await looking
        finally:
            waited.ending.discard(ending)
            waited.looking.discard(looking)
            if waited.idle:
                # the same one often asks again in a moment
                self._loop.call_later(_LINGER, self._leave, id)

    def close(self) -> None:
        """Look no more, and tell those who wait."""
        if self._timer is not None:
            self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()
        for waited in self._waited.values():
            if waited.soon is not None:
                waited.soon.cancel()
        self._fail(list(self._waited), BackendUnavailableError("the adapter was closed"))

    def _enter(self, id: str) -> _Waited:
        self._replies.begin(self._replied)
        waited = self._waited.get(id)
        if waited is None:
            waited = self._waited[id] = _Waited(lambda said: self._told(id, said))
        if waited.followed:
            # otherwise the confirmation has somebody look
            if self._listener.confirmed(self._prefix + id):
                self._look(id)
        elif (left := self._replies.left(id)) == 0.0:
            self._follow(id, waited)
        elif waited.soon is None:
            waited.soon = self._loop.call_later(left, self._follow_now, id)
        if self._timer is None:
            self._timer = self._loop.call_later(_POLL, self._poll)
        return waited

    def _follow_now(self, id: str) -> None:
        waited = self._waited.get(id)
        if waited is None:
            return
        waited.soon = None
        if not (waited.followed or waited.idle):
            self._follow(id, waited)

    def _follow(self, id: str, waited: _Waited) -> None:
        """Listen to the channel of a task that is waited for."""
        waited.followed = True
        # first, as the confirmation of the other one has somebody look
        self._join(id)
        self._listener.subscribe(self._prefix + id, waited.told)

    def _leave(self, id: str) -> None:
        waited = self._waited.get(id)
        if waited is None or not waited.idle:
            return
        del self._waited[id]
        if waited.soon is not None:
            waited.soon.cancel()
        if waited.followed:
            self._listener.unsubscribe(self._prefix + id, waited.told)
            self._part(id)

    def _replied(self, id: str, record: Record | None) -> None:
        if record is not None:
            self._answer(id, record)
        elif id in self._waited:
            self._look(id)

    def _join(self, id: str) -> None:
        """Be told with the workflow that *id* may be a node of."""
        parts = numbered(id)
        if parts is None:
            return
        workflow = self._workflows.get(parts[0])
        if workflow is None:
            ids: set[str] = set()
            workflow = self._workflows[parts[0]] = _Workflow(lambda said: self._look_all(said, ids), ids)
            self._listener.subscribe(self._prefix + parts[0], workflow.told)
        workflow.ids.add(id)

    def _part(self, id: str) -> None:
        parts = numbered(id)
        workflow = None if parts is None else self._workflows.get(parts[0])
        if parts is None or workflow is None:
            return
        workflow.ids.discard(id)
        if not workflow.ids:
            del self._workflows[parts[0]]
            self._listener.unsubscribe(self._prefix + parts[0], workflow.told)

    def _look_all(self, said: bytes | None, ids: Iterable[str]) -> None:
        if said is not None:
            for id in ids:
                self._look(id)

    def _told(self, id: str, said: bytes | None) -> None:
        seen = self._waited[id].seen if id in self._waited else None
        record = ended(seen, said) if seen is not None and said else None
        if record is None:
            self._look(id)
        else:
            self._answer(id, record)

    def _poll(self) -> None:
        self._timer = None
        if self._waited:
            self._timer = self._loop.call_later(_POLL, self._poll)
            for id, waited in self._waited.items():
                if not waited.idle:
                    self._look(id)

    def _look(self, id: str) -> None:
        """Have the record read with others that are asked for at this moment."""
        self._asked[id] = None
        if self._looking is None:
            self._looking = self._loop.create_task(self._look_at_all(), name="aioqueue-redis-look")

    async def _look_at_all(self) -> None:
        try:
            while self._asked:
                batch = list(self._asked)[:_BATCH]
                for id in batch:
                    del self._asked[id]
                batch = [id for id in batch if (waited := self._waited.get(id)) and not waited.idle]
                if batch:
                    await self._look_at(batch)
        finally:
            self._looking = None

    async def _look_at(self, ids: Sequence[str]) -> None:
        try:
            records = await self._read(ids)
        except UnavailableError as exc:
            self._away(ids, exc)
            await asyncio.sleep(_AGAIN)
            return
        except RedisError as exc:
            self._fail(ids, exc)
            return
        self._away_since = None
        for id, record in zip(ids, records, strict=True):
            if isinstance(record, Exception):
                self._fail([id], record)
            else:
                self._answer(id, record)

    def _answer(self, id: str, record: Record | None) -> None:
        waited = self._waited.get(id)
        if waited is None:
            return
        over = record is None or record.state.final
        waited.seen = None if over else record
        for answer in (*waited.looking, *(waited.ending if over else ())):
            if not answer.done():
                answer.set_result(record)

    def _away(self, ids: Sequence[str], exc: UnavailableError) -> None:
        """Ask again, or tell those who wait that it has been too long."""
        now = self._loop.time()
        if self._away_since is None:
            self._away_since = now
        self._asked.update(dict.fromkeys(ids))
        if now - self._away_since >= _PATIENCE:
            self._fail(ids, exc)

    def _fail(self, ids: Iterable[str], exc: Exception) -> None:
        for id in ids:
            waited = self._waited.get(id)
            for answer in (*waited.ending, *waited.looking) if waited is not None else ():
                if not answer.done():
                    # of its own, as tracebacks gather in an exception that is raised more than once
                    answer.set_exception(type(exc)(*exc.args))

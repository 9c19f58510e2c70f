"""Queues: a queue as its operator has it: paused, looked into, emptied.

To empty one: first the word, then the message. A task reads CANCELLED before its message goes, so a crash in
between leaves a message that says no more, and emptying again takes it. In one store both are one step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from pydantic import BaseModel, ConfigDict

from aioqueue.errors import ConfigurationError
from aioqueue.ids import is_name
from aioqueue.models.state import CancelOutcome, State
from aioqueue.models.stats import LetterPage, QueueEntry, QueuePage, QueueStats, Where
from aioqueue.protocols.broker import Broker
from aioqueue.protocols.finisher import Submitter
from aioqueue.protocols.flow import OPEN
from aioqueue.stores import CANCELLED_TTL, Stores

_PAGE: Final = 200


class Purged(BaseModel):
    """What emptying a queue has come to.

    removed: tasks taken out, which read CANCELLED where they have a record. left: tasks that had begun by
    then, and messages that stand for the rest of a large workflow, which a cancel of that would stop.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    removed: int = 0
    left: int = 0


class Queue:
    """A queue of a Server that is open. Methods raise BrokerUnavailableError, BackendUnavailableError."""

    def __init__(self, name: str, opened: Callable[[], Stores]) -> None:
        if not is_name(name):
            raise ConfigurationError(
                f"{name!r} is no name of a queue: 1 to 128 letters, digits and ._:/@-, no sign first"
            )
        self.name = name
        self._opened = opened

    async def pause(self) -> bool:
        """Let nothing more of it start, on any worker, until ``resume``; False if it was paused before.

        What runs goes on, sends are accepted, what is delayed becomes due and waits.
        """
        return await self._opened().broker.pause(self.name)

    async def resume(self) -> bool:
        """Let what waits start again, at once; False if it was not paused."""
        return await self._opened().broker.resume(self.name)

    async def stats(self) -> QueueStats:
        """Return how much it holds, and whether it is paused."""
        (stats,) = await self._opened().broker.stats([self.name])
        return stats

    async def pending(self, *, after: str | None = None, limit: int = 100, bodies: bool = False) -> QueuePage:
        """Return a page of what is ready, by priority. after: the ``next`` of the page before."""
        return await self._page(Where.PENDING, after, limit, bodies)

    async def delayed(self, *, after: str | None = None, limit: int = 100, bodies: bool = False) -> QueuePage:
        """Return a page of what is due later, the next one first."""
        return await self._page(Where.DELAYED, after, limit, bodies)

    async def running(self, *, after: str | None = None, limit: int = 100, bodies: bool = False) -> QueuePage:
        """Return a page of what workers hold; worker and since are those on record."""
        page = await self._page(Where.RUNNING, after, limit, bodies)
        records = await self._opened().backend.get([entry.id for entry in page.entries if entry.tracked])
        known = {record.id: record for record in records if record and record.state is State.STARTED}
        entries = [
            entry.model_copy(update={"worker": found.worker, "since": found.started})
            if (found := known.get(entry.id)) is not None
            else entry
            for entry in page.entries
        ]
        return QueuePage(entries=tuple(entries), next=page.next)

    async def dead(self, *, after: str | None = None, limit: int = 100) -> LetterPage:
        """Return a page of its dead letters, newest first."""
        return await self._opened().broker.letters(queue=self.name, after=after, limit=limit)

    async def purge(self, *, pending: bool = True, delayed: bool = True) -> Purged:
        """Take out what waits, what is ready or what is due later or both, and end it CANCELLED.

        Workflows move on as by a cancel, waiters are told. What runs is left alone. It may be repeated, also
        after a crash in its middle.
        """
        stores = self._opened()
        # the delayed ones first: what becomes due meanwhile is met among the others
        places = [*([Where.DELAYED] if delayed else []), *([Where.PENDING] if pending else [])]
        return await purged(stores.broker, stores.submitter(), self.name, places)

    async def _page(self, where: Where, after: str | None, limit: int, bodies: bool) -> QueuePage:
        broker = self._opened().broker
        return await broker.inspect(self.name, where, after=after, limit=limit, bodies=bodies)


async def purged(broker: Broker, submitter: Submitter, queue: str, places: list[Where]) -> Purged:
    """Empty some places of a queue, as far as they were filled at the start; return what came of it."""
    removed, left = 0, set[str]()
    for where in places:
        (stats,) = await broker.stats([queue])
        most = (stats.delayed if where is Where.DELAYED else stats.ready) or 0
        after: str | None = None
        before = removed
        while most > 0:
            page = await broker.inspect(queue, where, after=after, limit=min(_PAGE, most))
            gone, spared = await _end(broker, submitter, page.entries)
            removed, left = removed + gone, left | spared
            most, after = most - len(page.entries), page.next
            if after is None:
                # what has become due since may stand before what was seen
                if removed == before:
                    break
                before = removed
    return Purged(removed=removed, left=len(left))


async def _end(broker: Broker, submitter: Submitter, entries: tuple[QueueEntry, ...]) -> tuple[int, set[str]]:
    """Cancel those that have not begun, then forget their messages; return how many, and which are left."""
    tasks = [entry for entry in entries if entry.name != OPEN]
    tracked = [entry for entry in tasks if entry.tracked and is_name(entry.id)]
    ids = [entry.id for entry in tracked]
    outcomes = await submitter.cancel(ids, ttl=CANCELLED_TTL, waiting=True) if ids else ()
    came = dict(zip(ids, outcomes, strict=True))
    spared = {id for id, outcome in came.items() if outcome is CancelOutcome.RUNNING}
    ended = {
        id for id, outcome in came.items() if outcome not in (CancelOutcome.RUNNING, CancelOutcome.NOT_FOUND)
    }
    await broker.remove([entry for entry in tracked if entry.id in ended])
    others = await broker.remove([entry for entry in tasks if entry.id not in ended | spared])
    return len(ended) + others, spared | {entry.id for entry in entries if entry.name == OPEN}

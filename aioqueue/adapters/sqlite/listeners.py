"""Listeners: who in this process waits for messages, for tasks to end, or for a value of the shared map.

They are told by this process's commits, by bells and, should one be missed, by a look twice a
second whether the file has changed. Subscribe, then read, then wait: nothing falls between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Final

from aioqueue.adapters.sqlite import records
from aioqueue.adapters.sqlite.bell import Bells
from aioqueue.adapters.sqlite.database import Transaction, Work
from aioqueue.adapters.sqlite.news import News

LOOK: Final = 0.5
"""Seconds between two looks at the file."""

_Seen = tuple[int, list[str]]


class Listeners:
    """Lives on one event loop. ask: queues a function that reads."""

    def __init__(self, bells: Bells, ask: Callable[[Work[_Seen]], asyncio.Future[_Seen]]) -> None:
        self._bells = bells
        self._ask = ask
        self._loop = asyncio.get_running_loop()
        self._consumers: dict[asyncio.Event, frozenset[str]] = {}
        self._waiters: dict[str, set[asyncio.Event]] = {}
        self._watchers: list[tuple[str, asyncio.Event]] = []
        self._version: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._looking = self._look_again = False

    @contextmanager
    def consumer(self, queues: Iterable[str], event: asyncio.Event) -> Generator[None, None, None]:
        """Set *event* whenever there may be messages in *queues*."""
        self._listen()
        self._consumers[event] = frozenset(queues)
        try:
            yield
        finally:
            del self._consumers[event]

    @contextmanager
    def waiter(self, id: str) -> Generator[asyncio.Event, None, None]:
        """Return an event that is set when the task may have ended, or its record may be gone."""
        self._listen()
        event = asyncio.Event()
        self._waiters.setdefault(id, set()).add(event)
        try:
            yield event
        finally:
            events = self._waiters[id]
            events.discard(event)
            if not events:
                del self._waiters[id]

    @contextmanager
    def watcher(self, key: str, event: asyncio.Event) -> Generator[None, None, None]:
        """Set *event* whenever another value may stand at *key* of the shared map."""
        self._listen()
        watcher = (key, event)
        self._watchers.append(watcher)
        try:
            yield
        finally:
            self._watchers.remove(watcher)

    def tell(self, news: News) -> None:
        """Wake whom *news* concern."""
        for event, queues in self._consumers.items():
            if news.everything or not queues.isdisjoint(news.queues):
                event.set()
        for key, event in self._watchers:
            if news.everything or key in news.values:
                event.set()
        self._end(news.ended)
        if news.flows:
            self._end([id for id in self._waiters if id.rpartition(".")[0] in news.flows])
        if news.everything and self._waiters:
            # A look that is on its way may have been there before.
            self._look_again = self._looking
            self._look(version=None)

    def close(self) -> None:
        """Wake all, to meet that the adapter is closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake_all()
        self._end(list(self._waiters))

    def _listen(self) -> None:
        self._bells.listen(self._loop, self.tell)
        if self._timer is None:
            self._timer = self._loop.call_later(LOOK, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._consumers or self._waiters or self._watchers:
            self._timer = self._loop.call_later(LOOK, self._tick)
            self._look(version=self._version)

    def _look(self, *, version: int | None) -> None:
        """Ask, in one query, what has ended; nothing if the file still is at *version*.

        One at a time: where the file is locked they would come faster than they are answered.
        """
        if self._looking:
            return
        self._looking = True
        ids = list(self._waiters)

        def look(tx: Transaction) -> _Seen:
            (now,) = tx.db.execute("PRAGMA data_version").fetchone()
            return now, [] if now == version else records.over(tx, ids)

        self._ask(look).add_done_callback(self._looked)

    def _looked(self, seen: asyncio.Future[_Seen]) -> None:
        self._looking = False
        if self._look_again and self._waiters:
            self._look(version=None)
        self._look_again = False
        if seen.cancelled():
            return
        if seen.exception() is not None:
            # Let them look for themselves, and raise what they meet.
            self._wake_all()
            self._end(list(self._waiters))
            return
        version, ended = seen.result()
        if version != self._version:
            self._version = version
            self._wake_all()
        self._end(ended)

    def _wake_all(self) -> None:
        """Wake all but those that wait for tasks, of which it is known which have ended."""
        for event in (*self._consumers, *(event for _, event in self._watchers)):
            event.set()

    def _end(self, ids: Iterable[str]) -> None:
        for id in ids:
            for event in self._waiters.get(id, ()):
                event.set()

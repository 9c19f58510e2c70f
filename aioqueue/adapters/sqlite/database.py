"""Writer: the thread that owns the connection. What is asked for meanwhile is one transaction.

Group commit: all functions that queued while a transaction was on its way share the next one,
and one call wakes the loop for all their answers. A function that raises undoes the transaction:
the others run again without it, then it runs alone, so that its error is only its own. Functions
must bear that. A fault of the database is everybody's, also theirs who had queued before the
transaction began: to run one after the other each would wait for the same lock.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Final, Generic, Protocol, TypeVar

from aioqueue.adapters.sqlite.connection import Connection
from aioqueue.adapters.sqlite.faults import is_fault
from aioqueue.adapters.sqlite.news import News
from aioqueue.clock import Clock

_log = logging.getLogger("aioqueue.sqlite")

_MOST: Final = 256

T = TypeVar("T")


@dataclass(slots=True)
class Transaction:
    """What a function gets. now: the store's time, Unix seconds. news: told once it is committed."""

    db: sqlite3.Connection
    now: float
    news: News


Work = Callable[[Transaction], T]


class Job(Protocol):
    """A function in the queue, whatever it returns."""

    @property
    def write(self) -> bool: ...

    def run(self, tx: Transaction) -> None: ...

    def fail(self, error: BaseException) -> None: ...

    def resolve(self) -> None: ...


class Call(Generic[T]):
    """A function, and the future that gets its answer on the loop."""

    def __init__(self, work: Work[T], future: asyncio.Future[T], *, write: bool) -> None:
        self.write = write
        self._work = work
        self._future = future
        self._answer: list[T] = []
        self._error: BaseException | None = None

    def run(self, tx: Transaction) -> None:
        self._answer = [self._work(tx)]

    def fail(self, error: BaseException) -> None:
        self._error = error

    def resolve(self) -> None:
        if self._future.done():
            return
        if self._error is not None:
            self._future.set_exception(self._error)
        else:
            self._future.set_result(self._answer[0])


class Caught:
    """Takes what a function raises, so that the thread goes on and the caller gets it."""

    error: BaseException | None = None

    def __enter__(self) -> Caught:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.error = error
        return True


class Writer:
    """One thread and its connection, from ``start`` to ``end``.

    tell: called on the loop with the news of a commit, before its callers go on. ring: the same
    in the thread, for other processes.
    """

    def __init__(
        self,
        connection: Connection,
        clock: Clock,
        *,
        tell: Callable[[News], None],
        ring: Callable[[News], None],
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._tell = tell
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._ended = self._loop.create_future()
        # A program that never closes must still be able to exit; what is cut off then is rolled back.
        self._thread = threading.Thread(target=self._run, name="aioqueue-sqlite", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ask(self, work: Work[T], *, write: bool) -> asyncio.Future[T]:
        """Queue a function; the future has its answer once it is committed."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(Call(work, future, write=write))
        return future

    def stop(self) -> None:
        """Let the thread end once all that is queued has run."""
        self._queue.put(None)

    async def end(self) -> None:
        """Stop, and wait until it has ended."""
        self.stop()
        await asyncio.shield(self._ended)
        self._thread.join()

    def _run(self) -> None:
        while not self._round():
            pass
        self._connection.close()
        self._on_loop(self._ended.set_result, None)

    def _round(self) -> bool:
        """Commit what is queued, waiting for the first; True if that was the end.

        What it was asked for, and came to, is its own: a thread that waits keeps nothing of the last ones.
        """
        jobs, ending = self._gathered()
        news = News()
        with Caught() as caught:
            self._commit(jobs, news)
        if caught.error is not None:
            # The last resort: whoever asked is answered, and the thread lives on.
            for job in jobs:
                job.fail(caught.error)
        with Caught() as caught:
            if news:
                self._ring(news)
        if caught.error is not None:
            _log.error("other processes could not be told and have to look", exc_info=caught.error)
        self._on_loop(self._resolve, jobs, news)
        return ending

    def _gathered(self) -> tuple[list[Job], bool]:
        """Return what is queued, waiting for the first; True if that is the end."""
        jobs: list[Job] = []
        job = self._queue.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) == _MOST:
                return jobs, False
            try:
                job = self._queue.get_nowait()
            except Empty:
                return jobs, False
        return jobs, True

    def _commit(self, jobs: list[Job], news: News) -> None:
        """Run *jobs*; those that a fault of the database ended with them are added."""
        alone: list[Job] = []
        batch = list(jobs)
        while batch:
            behind = self._queue.qsize()
            raised, error = self._attempt(batch, news)
            if isinstance(error, sqlite3.DatabaseError) and is_fault(error):
                waited = self._overtaken(behind)
                jobs += waited
                batch, alone = [*batch, *alone, *waited], []
            elif raised is not None and len(batch) > 1:
                batch.remove(raised)
                alone.append(raised)
                continue
            if error is not None:
                for job in batch:
                    job.fail(error)
            batch = [alone.pop(0)] if alone else []

    def _overtaken(self, count: int) -> list[Job]:
        """Return the next *count* in the queue, but never its end."""
        jobs: list[Job] = []
        for _ in range(count):
            job = self._queue.get_nowait()
            if job is None:
                self._queue.put(None)
                break
            jobs.append(job)
        return jobs

    def _attempt(self, jobs: Sequence[Job], news: News) -> tuple[Job | None, BaseException | None]:
        """Run *jobs* in one transaction; return which of them undid it, if one did, and the error."""
        running: Job | None = None
        fresh = News()

        def work(db: sqlite3.Connection) -> None:
            nonlocal running
            tx = Transaction(db, self._clock.time(), fresh)
            for running in jobs:
                running.run(tx)
            running = None

        with Caught() as caught:
            self._connection.transact(work, write=any(job.write for job in jobs))
        if caught.error is None:
            news.add(fresh)
        return running, caught.error

    def _resolve(self, jobs: Sequence[Job], news: News) -> None:
        try:
            if news:
                self._tell(news)
        finally:
            for job in jobs:
                job.resolve()

    def _on_loop(self, function: Callable[..., object], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            # The loop was closed before the adapter: nobody is left to be told.
            return

"""Pools: where user code runs: on the loop, in a thread, or in a process of its own.

A process runs one call at a time and is found by import path, so that one that dies takes only
its own call with it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, assert_never

from anyio import BrokenWorkerProcess, CapacityLimiter, to_process, to_thread

from aioqueue.context import current
from aioqueue.definition import Definition
from aioqueue.errors import ConfigurationError
from aioqueue.worker.echo import Echo
from aioqueue.worker.inside import call_by_path

_log = logging.getLogger("aioqueue.worker")

Began = Callable[[], None]
"""Called when the user's code begins to run, after any wait for a thread or a process."""


class Pools:
    """Threads and processes of one worker. threads: how many calls run in them at most.

    A thread cannot be interrupted: one that is no longer awaited keeps its place until it ends. A process
    can: it is killed, and another one takes its place.
    """

    def __init__(self, threads: int) -> None:
        self._threads = CapacityLimiter(threads)
        self._processes = CapacityLimiter(os.cpu_count() or 1)
        self._endless = CapacityLimiter(math.inf)
        self._busy: set[int] = set()
        self._echo = Echo()

    def close(self) -> None:
        """Hear no more of what is logged in processes."""
        self._echo.close()

    @property
    def busy_threads(self) -> int:
        """Return how many threads still run user code, awaited or not."""
        return len(self._busy)

    async def call(
        self, definition: Definition, args: tuple[Any, ...], kwargs: dict[str, Any], began: Began
    ) -> Any:
        """Return what the function returns; raise what it raises."""
        match definition.executor:
            case "loop":
                began()
                return await definition.run(*args, **kwargs)
            case "thread":
                return await self._in_thread(partial(definition.function, *args, **kwargs), began)
            case "process":
                return await self._in_process(definition, args, kwargs, began)
            case _:
                assert_never(definition.executor)

    async def _in_thread(self, call: Callable[[], Any], began: Began) -> Any:
        seat = _Seat(self._threads, call, self._busy)
        await self._threads.acquire_on_behalf_of(seat)
        try:
            began()
            return await to_thread.run_sync(seat.run, abandon_on_cancel=True, limiter=self._endless)
        finally:
            if seat.leave() and self._threads.available_tokens < 1:
                _log.error(
                    "the last of %d threads goes on though its attempt is over; no other runs until one ends",
                    int(self._threads.total_tokens),
                )

    async def _in_process(
        self, definition: Definition, args: tuple[Any, ...], kwargs: dict[str, Any], began: Began
    ) -> Any:
        async with self._processes:
            began()
            where, ear = import_path(definition), self._echo.ear()
            call = partial(call_by_path, *where, args, kwargs, current(), ear=ear)
            try:
                return await to_process.run_sync(call, cancellable=True, limiter=self._endless)
            except BrokenWorkerProcess as exc:
                raise BrokenWorkerProcess(_explained(exc)) from exc


class _Seat:
    """A place among the threads, from before a thread is found for *call* until that has ended.

    busy: the threads that run user code.
    """

    def __init__(self, threads: CapacityLimiter, call: Callable[[], Any], busy: set[int]) -> None:
        self._threads = threads
        self._call = call
        self._busy = busy
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._begun = self._left = self._over = False

    def run(self) -> Any:
        """Call, in a thread, unless nobody waits for it any more."""
        with self._lock:
            if self._left:
                return None
            self._begun = True
        self._busy.add(threading.get_ident())
        try:
            return self._call()
        finally:
            self._busy.discard(threading.get_ident())
            # a loop that is closed has no use for the place
            with self._lock, suppress(RuntimeError):
                self._over = True
                self._loop.call_soon_threadsafe(self._free)

    def leave(self) -> bool:
        """Wait for it no more; tell whether a thread goes on with it."""
        with self._lock:
            self._left = True
            if not self._begun:
                self._free()
            return self._begun and not self._over

    def _free(self) -> None:
        self._threads.release_on_behalf_of(self)


def _explained(exc: BrokenWorkerProcess) -> str:
    """Return what happened. One that died has nothing to say; one that did not come up has."""
    if not str(exc):
        return "the process that ran it died"
    return f"{exc}: it imports your main module; what that runs stands below `if __name__ == '__main__':`"


def import_path(definition: Definition) -> tuple[str, str]:
    """Return the module and the name by which another process finds the function.

    Raises ConfigurationError for one that no import reaches.
    """
    module, name = definition.function.__module__, definition.function.__qualname__
    if "<" in name:
        raise ConfigurationError(
            f"task {definition.name!r}: executor='process' needs a function that can be imported, "
            f"and {name} is local"
        )
    return module, name

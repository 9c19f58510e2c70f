"""Pools: where user code runs: on the loop, in a thread, or in a process of its own.

A process runs one call at a time and is found by import path, so that one that dies takes only
its own call with it.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from typing import Any, assert_never

from anyio import CapacityLimiter, to_process

from aioqueue.errors import ConfigurationError
from aioqueue.task import Definition, Task


class Pools:
    """Threads and processes of one worker, made when first needed. threads: how many at most."""

    def __init__(self, threads: int) -> None:
        self._size = threads
        self._threads: ThreadPoolExecutor | None = None
        self._processes: CapacityLimiter | None = None
        self._busy: set[int] = set()

    @property
    def busy_threads(self) -> int:
        """Return how many threads still run user code, awaited or not."""
        return len(self._busy)

    async def call(self, definition: Definition, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what the function returns; raise what it raises."""
        match definition.executor:
            case "loop":
                return await definition.function(*args, **kwargs)
            case "thread":
                return await self._in_thread(definition.function, args, kwargs)
            case "process":
                if self._processes is None:
                    self._processes = CapacityLimiter(os.cpu_count() or 1)
                path = import_path(definition)
                return await to_process.run_sync(
                    call_by_path, *path, args, kwargs, cancellable=True, limiter=self._processes
                )
            case _:
                assert_never(definition.executor)

    def close(self) -> None:
        """Let go of the threads without waiting for those that still run."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._size, thread_name_prefix="aioqueue-task")
        context = contextvars.copy_context()
        call = partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: context.run(self._counted, call)
        )

    def _counted(self, call: Callable[[], Any]) -> Any:
        self._busy.add(threading.get_ident())
        try:
            return call()
        except StopIteration as exc:
            # a future cannot carry it
            raise RuntimeError("the task raised StopIteration") from exc
        finally:
            self._busy.discard(threading.get_ident())


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


def call_by_path(module: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Import a function and call it; runs in the other process."""
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    function = found.definition.function if isinstance(found, Task) else found
    return function(*args, **kwargs)

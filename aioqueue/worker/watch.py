"""Watch: interrupts what was cancelled while it runs.

A run that lasts is waited for as a client would: the store tells when its task has ended by another hand.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aioqueue import answers
from aioqueue.errors import UnavailableError
from aioqueue.models.state import State
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.store import Store
from aioqueue.worker.executor import Executor
from aioqueue.worker.prepare import label
from aioqueue.worker.run import Reason, Run

_log = logging.getLogger("aioqueue.worker")

_LOOK: Final = 0.1
_ROUND: Final = 10.0
_AWAY: Final = 1.0


class Watch:
    """Watches the runs of *executor* that are there when it looks a second time."""

    def __init__(self, backend: Backend, store: Store | None, executor: Executor) -> None:
        self._backend = backend
        self._store = store
        self._executor = executor

    async def run(self) -> None:
        """Watch until cancelled."""
        before: set[Run] = set()
        async with asyncio.TaskGroup() as watched:
            while True:
                await asyncio.sleep(_LOOK)
                runs = self._executor.runs()
                for run in runs & before:
                    if run.watch():
                        watched.create_task(self._watched(run))
                before = runs

    async def _watched(self, run: Run) -> None:
        while not run.closed:
            try:
                record = await self._backend.wait(run.delivery.message.id, timeout=_ROUND)
            except UnavailableError as exc:
                _log.debug("%s cannot be watched, trying again: %s", label(run.delivery), exc)
                await asyncio.sleep(_AWAY)
                continue
            if record is None or record.state.final:
                break
        else:
            return
        if record is not None and record.state is State.CANCELLED and not run.closed:
            _log.info("%s was cancelled", label(run.delivery))
            run.interrupt(Reason.CANCELLED)
            if run.interruptible is not None:
                await answers.leave(self._store, run.delivery.message.id, interrupted=run.interruptible)

"""Schedules in the hands of a test: tickers of several processes on one store, and a clock that is moved."""

from __future__ import annotations

from pathlib import Path

from aioqueue import Server
from aioqueue.ids import new_id
from aioqueue.testing import VirtualClock
from aioqueue.worker import WorkerOptions
from aioqueue.worker.ticker import Ticker

START = 1_767_225_600.0
"""The beginning of 2026, in Unix seconds."""


def place(kind: str, folder: Path) -> str:
    """Return the URL of an embedded store of a test's own."""
    return f"memory://{new_id()}" if kind == "memory" else f"sqlite:///{folder}/tasks.db"


def ticker(server: Server) -> Ticker:
    """Return another ticker, as of another process."""
    return Ticker(server.stores, server, WorkerOptions.checked(server.settings, {}))


async def rounds(clock: VirtualClock, tickers: list[Ticker], seconds: float, *, step: float = 1.0) -> None:
    """Let time pass in steps, and each ticker make its rounds after each."""
    for _ in range(round(seconds / step)):
        await clock.advance(step)
        for one in tickers:
            # which it reads again after a time that does not pass here
            one._look_at = 0.0
            # one round to begin, one to claim and fire
            await one.round()
            await one.round()

"""The SQLite adapter: broker, backend and store in one file, shared by the processes of a machine.

Not for network file systems: SQLite's locks do not hold there. ``connection`` says what a
transaction costs, ``database`` how many calls share one.
"""

from __future__ import annotations

from aioqueue.adapters.sqlite.backend import SqliteBackend
from aioqueue.adapters.sqlite.broker import SqliteBroker
from aioqueue.adapters.sqlite.core import Core
from aioqueue.adapters.sqlite.options import parse
from aioqueue.adapters.sqlite.store import SqliteStore
from aioqueue.clock import Clock, SystemClock
from aioqueue.protocols.adapter import Adapter

__all__ = ["connect"]


def connect(url: str, *, clock: Clock | None = None) -> Adapter:
    """Return the adapter of ``sqlite:///relative/path.db``; nothing is opened yet.

    Options: ``synchronous=normal|full``, ``timeout=<seconds>``. clock: by which it decides what is
    due and who has lapsed; the machine's when None. Raises ConfigurationError.
    """
    core = Core(parse(url), clock or SystemClock())
    return Adapter(
        url=url,
        broker=SqliteBroker(core),
        backend=SqliteBackend(core),
        store=SqliteStore(core),
    )

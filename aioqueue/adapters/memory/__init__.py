"""The memory adapter: broker, backend and store in one process, with time that can be held.

A verified fake: it passes the same conformance suite as the services, and takes a virtual clock.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from aioqueue.adapters.memory.backend import MemoryBackend
from aioqueue.adapters.memory.broker import MemoryBroker
from aioqueue.adapters.memory.core import MemoryCore
from aioqueue.adapters.memory.store import MemoryStore
from aioqueue.clock import Clock, SystemClock
from aioqueue.errors import ConfigurationError
from aioqueue.protocols.adapter import Adapter
from aioqueue.redaction import redacted

__all__ = ["connect"]

_cores: dict[str, MemoryCore] = {}


def connect(url: str, *, clock: Clock | None = None) -> Adapter:
    """Return the adapter of ``memory://name``: one store for all who name it in this process.

    clock: where a new store takes its time from. Raises ConfigurationError.
    """
    parts = urlsplit(url)
    if parts.path not in {"", "/"} or parts.query or parts.username:
        raise ConfigurationError(
            f"{redacted(url).partition('?')[0]}: a memory URL is memory://name and nothing more"
        )
    name = parts.netloc
    core = _cores.get(name)
    if core is None:
        core = _cores[name] = MemoryCore(clock or SystemClock())
    elif clock is not None and clock is not core.clock:
        raise ConfigurationError(f"{url}: this store exists with another clock; choose another name")
    return Adapter(
        url=f"memory://{name}",
        broker=MemoryBroker(core),
        backend=MemoryBackend(core),
        store=MemoryStore(core),
    )

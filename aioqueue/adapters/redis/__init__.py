"""The Redis adapter: streams, a script a transition, and a lease a process.

For Redis 6.2 and newer, and Valkey; nothing newer is used. ``lua/lib/base.lua`` lists the keys.
"""

from __future__ import annotations

from aioqueue.adapters.redis.backend import RedisBackend
from aioqueue.adapters.redis.broker import RedisBroker
from aioqueue.adapters.redis.core import Core
from aioqueue.adapters.redis.options import parse
from aioqueue.adapters.redis.store import RedisStore
from aioqueue.clock import Clock
from aioqueue.errors import ConfigurationError
from aioqueue.protocols.adapter import Adapter

__all__ = ["connect"]


def connect(url: str, *, clock: Clock | None = None) -> Adapter:
    """Return the adapter of ``redis://``, ``rediss://`` or ``unix://``; nothing is opened yet.

    clock: must be None, as the server's clock decides what is due. Options: ``namespace=<name>``,
    ``timeout=<seconds>``, ``db=<number>`` and ``ssl_…`` of redis-py. Raises ConfigurationError.
    """
    options = parse(url)
    if clock is not None:
        raise ConfigurationError(f"{options.shown}: Redis tells the time itself; leave clock= out")
    core = Core(options)
    return Adapter(
        url=options.shown,
        broker=RedisBroker(core),
        backend=RedisBackend(core),
        store=RedisStore(core),
    )

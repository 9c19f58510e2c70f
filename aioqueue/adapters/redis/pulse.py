"""Pulse and RedisLease: a key that lapses by itself, extended from a thread.

Leases have a connection of their own, so that neither the loop nor what is queued on the other
connection holds a beat up. A beat is PEXPIRE, which a server at its maxmemory takes too.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from aioqueue.adapters.redis.faults import translated
from aioqueue.adapters.redis.options import Options
from aioqueue.adapters.redis.scripts import script
from aioqueue.errors import UnavailableError

_PATIENCE: Final = 2.0


class Pulse:
    """The connection on which all leases of one adapter are beaten, from any thread, one at a time."""

    def __init__(self, options: Options) -> None:
        self.options = options
        patience = min(options.timeout, _PATIENCE)
        self._lock = threading.Lock()
        self._closed = False
        redis: Any = Redis
        self._client = redis.from_url(
            options.url,
            protocol=2,
            socket_timeout=patience,
            socket_connect_timeout=patience,
            retry=Retry(NoBackoff(), 0),
        )

    def ask(self, *command: str | int) -> Any:
        """Return the reply to *command*; once more over a new connection if the old one was lost."""
        with self._lock:
            try:
                return self._client.execute_command(*command)
            except (RedisError, OSError):
                return self._client.execute_command(*command)
            finally:
                if self._closed:
                    self._client.close()

    def script(self, name: str, *args: str | int) -> Any:
        """Return what a script returns."""
        return self.ask("EVAL", script(name).text, 1, self.options.prefix, *args)

    def close(self) -> None:
        """Hang up, or have it done by the beat that is on its way; one that comes late connects again."""
        self._closed = True
        if self._lock.acquire(blocking=False):
            try:
                self._client.close()
            finally:
                self._lock.release()


class RedisLease:
    """Raises *unavailable* when the server does not answer within 2 s."""

    def __init__(
        self, pulse: Pulse, owner: str, *, seconds: float, unavailable: type[UnavailableError]
    ) -> None:
        self._pulse = pulse
        self._owner = owner
        self._key = f"{pulse.options.prefix}l:{owner}"
        self._milliseconds = max(1, round(seconds * 1000))
        self._unavailable = unavailable

    def begin(self) -> None:
        """Write the key."""
        with translated(self._unavailable, self._pulse.options.shown):
            self._pulse.script("lease", self._owner, self._milliseconds)

    def beat(self) -> bool:
        with translated(self._unavailable, self._pulse.options.shown):
            return bool(self._pulse.ask("PEXPIRE", self._key, self._milliseconds))

    def drop(self) -> None:
        with translated(self._unavailable, self._pulse.options.shown):
            self._pulse.script("drop", self._owner)

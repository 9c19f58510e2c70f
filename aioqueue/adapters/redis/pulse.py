"""Pulse and RedisLease: a key that lapses by itself, extended from a thread.

Leases have a connection of their own, so that neither the loop nor what is queued on the other
connection holds a beat up. A beat is PEXPIRE, which a server at its maxmemory takes too, and the one
command that follows its key while a slot moves: scripts do not run then, and a lease must not lapse.
"""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Any, Final

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AskError, RedisError
from redis.retry import Retry

from aioqueue.adapters.redis.advice import whither
from aioqueue.adapters.redis.driver import driver
from aioqueue.adapters.redis.faults import translated
from aioqueue.adapters.redis.hosts import Address
from aioqueue.adapters.redis.options import Options
from aioqueue.adapters.redis.route import Route
from aioqueue.adapters.redis.scripts import script
from aioqueue.errors import UnavailableError

_PATIENCE: Final = 2.0


class Pulse:
    """The connection on which all leases of one adapter are beaten, from any thread, one at a time."""

    def __init__(self, route: Route) -> None:
        self.options: Options = route.options
        self._route = route
        self._patience = min(route.options.timeout, _PATIENCE)
        self._lock = threading.Lock()
        self._closed = False
        self._where: Address | None = None
        self._client: Any = None

    def ask(self, *command: str | int) -> Any:
        """Return the reply to *command*; once more over a new connection if the old one was lost."""
        with self._lock:
            try:
                return self._connected().execute_command(*command)
            except AskError:
                raise
            except (RedisError, OSError):
                self._hang_up()
                return self._connected().execute_command(*command)
            finally:
                if self._closed:
                    self._hang_up()

    def follow(self, *command: str | int) -> Any:
        """Return the reply to *command*, of one key, from where that is while its slot moves."""
        try:
            return self.ask(*command)
        except AskError as exc:
            with closing(self._made(whither(exc))) as client:
                client.execute_command("ASKING")
                return client.execute_command(*command)

    def script(self, name: str, *args: str | int) -> Any:
        """Return what a script returns."""
        return self.ask("EVAL", script(name).text, 1, self.options.prefix, *args)

    def close(self) -> None:
        """Hang up, or have it done by the beat that is on its way; one that comes late connects again."""
        self._closed = True
        if self._lock.acquire(blocking=False):
            try:
                self._hang_up()
            finally:
                self._lock.release()

    def _connected(self) -> Any:
        """Return a client of the server, found anew where it is elsewhere than it was."""
        if self._client is not None and self._route.varies and self._where != self._route.latest:
            self._hang_up()
        if self._client is None:
            self._where = self._route.find() if self._route.varies else None
            self._client = self._made(self._where)
        return self._client

    def _made(self, where: Address | None) -> Any:
        redis: Any = Redis
        return redis.from_url(
            self._route.url(where),
            protocol=2,
            single_connection_client=True,
            socket_timeout=self._patience,
            socket_connect_timeout=self._patience,
            retry=Retry(NoBackoff(), 0),
            **driver(),
        )

    def _hang_up(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


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
            return bool(self._pulse.follow("PEXPIRE", self._key, self._milliseconds))

    def drop(self) -> None:
        with translated(self._unavailable, self._pulse.options.shown):
            self._pulse.script("drop", self._owner)

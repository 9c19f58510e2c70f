"""Core: what broker, backend and store of one adapter share, open while one of them is.

A session belongs to one event loop of one process: after a fork, and when that loop has ended, ``open``
makes a new one. Meanwhile no other loop can use it.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Sequence
from typing import Any, Final

from redis.exceptions import ConnectionError, NoScriptError, RedisError

from aioqueue.adapters.redis.faults import is_full, is_set_up, is_short, translated
from aioqueue.adapters.redis.followers import Followers
from aioqueue.adapters.redis.link import Links, Make, Value
from aioqueue.adapters.redis.listener import Listener
from aioqueue.adapters.redis.options import Options
from aioqueue.adapters.redis.pipe import Pipe
from aioqueue.adapters.redis.pulse import Pulse
from aioqueue.adapters.redis.replies import Replies
from aioqueue.adapters.redis.route import Route
from aioqueue.adapters.redis.scripts import script
from aioqueue.adapters.redis.waiters import Read, Waiters
from aioqueue.errors import ConfigurationError, QueueFullError, UnavailableError

_PAUSES: Final = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds between two tries of one call, each stretched by chance up to twice."""


class Session:
    """The connections, from an ``open`` to the last ``close``."""

    def __init__(self, options: Options) -> None:
        self.roles: set[str] = set()
        self._pid = os.getpid()
        self._loop = asyncio.get_running_loop()
        route = Route(options)
        self.link: Make = Links(route)
        self.pipe: Pipe = Pipe(self.link, timeout=options.timeout)
        self.listener: Listener = Listener(self.link, timeout=options.timeout)
        self.followers: Followers = Followers(self.listener, options.prefix)
        self.replies: Replies = Replies(self.listener, options.prefix)
        self.pulse: Pulse = Pulse(route)
        self._prefix = options.prefix
        self._waiters: Waiters | None = None

    def waiters(self, read: Read) -> Waiters:
        """Return who waits for tasks, told of their records by *read*."""
        if self._waiters is None:
            self._waiters = Waiters(self.listener, self.replies, f"{self._prefix}done:", read)
        return self._waiters

    @property
    def usable(self) -> bool:
        """False in a forked child, and once its loop is closed."""
        return self._pid == os.getpid() and not self._loop.is_closed()

    @property
    def elsewhere(self) -> bool:
        """True where its loop is another one than this, and may still run."""
        return self.usable and self._loop is not asyncio.get_running_loop()

    async def close(self) -> None:
        """Hang up; what belongs to a loop that has ended has ended with it."""
        if self._pid == os.getpid():
            self.pulse.close()
        if self.usable:
            if self._waiters is not None:
                self._waiters.close()
            self.followers.close()
            await self.listener.close()
            await self.pipe.close()


class Core:
    """Options and the session, if there is one."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._session: Session | None = None

    async def open(self, role: str, unavailable: type[UnavailableError]) -> None:
        """Open for *role*. Raises ConfigurationError, *unavailable*."""
        if self._session is not None and self._session.elsewhere:
            raise ConfigurationError(
                f"{self.options.shown}: this adapter is open in another event loop; close it there first"
            )
        if self._session is not None and not self._session.usable:
            await self._session.close()
            self._session = None
        for name, path in self.options.files.items():
            if not os.access(path, os.R_OK):
                raise ConfigurationError(f"{self.options.shown}: the file {path} of {name}= cannot be read")
        if self._session is None:
            self._session = Session(self.options)
        fresh = role not in self._session.roles
        self._session.roles.add(role)
        try:
            with translated(unavailable, self.options.shown):
                await self._session.pipe.call("PING")
        except BaseException as exc:
            if fresh:
                await self.close(role)
            if is_set_up(exc.__cause__):
                raise ConfigurationError(str(exc)) from exc
            raise

    async def close(self, role: str) -> None:
        """Close for *role*; with the last one the connections end."""
        session = self._session
        if session is None:
            return
        session.roles.discard(role)
        if not session.roles:
            self._session = None
            await session.close()

    @property
    def session(self) -> Session:
        """The session. Raises redis-py's ConnectionError where there is none."""
        if self._session is None or not self._session.usable:
            raise ConnectionError("the adapter is not open in this process")
        return self._session


class Access:
    """The server as one role sees it: a fault of it is raised as *unavailable*."""

    def __init__(self, core: Core, unavailable: type[UnavailableError]) -> None:
        self.core = core
        self.unavailable = unavailable

    @property
    def session(self) -> Session:
        """The session. Raises *unavailable* if the adapter is not open."""
        with translated(self.unavailable, self.core.options.shown):
            return self.core.session

    async def script(self, name: str, *args: Value, again: int | None = None) -> Any:
        """Return what a script returns.

        Scripts are safe to repeat, so one whose reply was lost is asked again, for about 2 s, and
        not once the URL's timeout is over.
        again: index of the argument that is to say so, with 1.
        """
        over = time.monotonic() + self.core.options.timeout
        with translated(self.unavailable, self.core.options.shown):
            # one that is not open is not asked again
            _ = self.core.session
            for pause in _PAUSES:
                try:
                    return await self._once(name, args)
                except (RedisError, OSError) as exc:
                    if not is_short(exc) or time.monotonic() > over:
                        raise
                await asyncio.sleep(pause * (1 + random.random()))
                if again is not None:
                    args = (*args[:again], 1, *args[again + 1 :])
            return await self._once(name, args)

    async def sending(self, name: str, *args: Value, again: int | None = None) -> Any:
        """Return what a sender's script returns. Raises QueueFullError, with nothing written."""
        try:
            return await self.script(name, *args, again=again)
        except self.unavailable as exc:
            if is_full(exc.__cause__):
                raise QueueFullError(
                    f"{self.core.options.shown} is at its maxmemory, so nothing was sent;"
                    " let workers empty the queues, or give it more memory"
                ) from exc
            raise

    async def once(self, name: str, *args: Value) -> Any:
        """Return what a script returns, asked once: its reply would be of no use a second time."""
        with translated(self.unavailable, self.core.options.shown):
            return await self._once(name, args)

    async def command(self, *command: Value) -> Any:
        """Return the reply to a command, asked once."""
        with translated(self.unavailable, self.core.options.shown):
            return await self.core.session.pipe.call(*command)

    async def _once(self, name: str, args: Sequence[Value]) -> Any:
        code, pipe, prefix = script(name), self.core.session.pipe, self.core.options.prefix
        try:
            return await pipe.call("EVALSHA", code.digest, 1, prefix, *args)
        except NoScriptError:
            return await pipe.call("EVAL", code.text, 1, prefix, *args)

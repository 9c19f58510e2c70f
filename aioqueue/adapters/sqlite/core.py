"""Core: what broker, backend and store of one adapter share, open while one of them is.

A session belongs to one event loop of one process: after a fork, or in another loop, ``open``
makes a new one and leaves the old one to whom it belongs.
"""

from __future__ import annotations

import asyncio
import os
from typing import TypeVar

from aioqueue.adapters.sqlite.bell import Bells
from aioqueue.adapters.sqlite.connection import Connection
from aioqueue.adapters.sqlite.database import Transaction, Work, Writer
from aioqueue.adapters.sqlite.faults import NotOpenError, translated
from aioqueue.adapters.sqlite.lease import Pulse
from aioqueue.adapters.sqlite.listeners import Listeners
from aioqueue.adapters.sqlite.options import Options
from aioqueue.clock import Clock
from aioqueue.errors import UnavailableError

T = TypeVar("T")


class Session:
    """Thread, bells, listeners and pulse, from an ``open`` to the last ``close``."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self.roles: set[str] = set()
        self._pid = os.getpid()
        self._loop = asyncio.get_running_loop()
        self._bells = Bells(options.path)
        self.listeners: Listeners = Listeners(self._bells, lambda work: self.writer.ask(work, write=False))
        self.writer: Writer = Writer(
            Connection(options), clock, tell=self.listeners.tell, ring=self._bells.ring
        )
        self.pulse: Pulse = Pulse(options, clock)
        self.writer.start()

    @property
    def mine(self) -> bool:
        """False in a forked child."""
        return self._pid == os.getpid()

    @property
    def usable(self) -> bool:
        """False in a forked child, and once its loop is closed."""
        return self.mine and not self._loop.is_closed()

    async def close(self) -> None:
        """End the thread and wait for it."""
        if not self.usable:
            self.abandon()
            return
        self.listeners.close()
        self._bells.close_own()
        await self.writer.end()
        self._bells.close_others()
        self.pulse.close()

    def abandon(self) -> None:
        """Let the thread end by itself; its loop is closed. In a forked child there is none to end."""
        if self.mine:
            self._bells.close_own()
            self.writer.stop()
            self.pulse.close()


class Core:
    """Options, clock and the session, if there is one."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self.options = options
        self.clock = clock
        self._session: Session | None = None

    async def open(self, role: str, unavailable: type[UnavailableError]) -> None:
        """Open for *role*. Raises ConfigurationError, *unavailable*."""
        session = self._session
        if session is not None and not session.usable:
            session.abandon()
            session = None
        if session is None:
            session = self._session = Session(self.options, self.clock)
        fresh = role not in session.roles
        session.roles.add(role)
        try:
            with translated(unavailable, self.options.url):
                await session.writer.ask(_nothing, write=False)
        except BaseException:
            if fresh:
                await self.close(role)
            raise

    async def close(self, role: str) -> None:
        """Close for *role*; with the last one the thread ends, after what is queued."""
        session = self._session
        if session is None:
            return
        session.roles.discard(role)
        if not session.roles:
            self._session = None
            await session.close()

    @property
    def session(self) -> Session:
        """The session. Raises NotOpenError."""
        if self._session is None or not self._session.usable:
            raise NotOpenError
        return self._session


class Access:
    """The file as one role sees it: a fault of the database is raised as *unavailable*."""

    def __init__(self, core: Core, unavailable: type[UnavailableError]) -> None:
        self.core = core
        self.unavailable = unavailable

    @property
    def listeners(self) -> Listeners:
        """Who waits for what. Raises *unavailable* if the adapter is not open."""
        with translated(self.unavailable, self.core.options.url):
            return self.core.session.listeners

    @property
    def pulse(self) -> Pulse:
        """What leases are beaten on. Raises *unavailable* if the adapter is not open."""
        with translated(self.unavailable, self.core.options.url):
            return self.core.session.pulse

    async def read(self, work: Work[T]) -> T:
        """Return what *work* returns; it must not write."""
        return await self._ask(work, write=False)

    async def write(self, work: Work[T]) -> T:
        """Return what *work* returns, once it is committed. It may run more than once."""
        return await self._ask(work, write=True)

    async def _ask(self, work: Work[T], *, write: bool) -> T:
        with translated(self.unavailable, self.core.options.url):
            return await self.core.session.writer.ask(work, write=write)


def _nothing(tx: Transaction) -> None:
    """Open the file, and no more."""

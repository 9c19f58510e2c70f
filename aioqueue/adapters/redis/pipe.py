"""Pipe: one connection on which any number of callers' commands travel, in the order they are made.

What is asked in the same moment is written in one piece. A caller that is cancelled leaves nothing
behind: the reply to its command is read all the same, and by nobody else.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

from redis.exceptions import ConnectionError, RedisError, ResponseError, TimeoutError

from aioqueue.adapters.redis.faults import SetUpError, is_elsewhere
from aioqueue.adapters.redis.link import Make, Value, packed
from aioqueue.adapters.redis.wire import Wire, wired


class Pipe:
    """Connects when it is first asked, and anew after a fault. make: makes links.

    timeout: seconds to wait for a connection, and for an answer. troubled: the monotonic time of the
    last fault.
    """

    def __init__(self, make: Make, *, timeout: float) -> None:
        self._make = make
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[tuple[Value, ...], asyncio.Future[Any]]] = deque()
        self._flying: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._wake = asyncio.Event()
        self._wire: Wire | None = None
        self._writes = False
        self._watch: asyncio.TimerHandle | None = None
        self._connecting = self._loop.create_task(self._connect(), name="aioqueue-redis-connect")
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = False
        self._answered = time.monotonic()
        self.troubled: float = time.monotonic()

    async def call(self, *command: Value) -> Any:
        """Return the reply to *command*. Raises what redis-py raises; then it may have been done or not."""
        if self._closed:
            raise ConnectionError("the adapter is closed")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._queue.append((command, future))
        if not self._writes:
            # in the next turn of the loop: what is asked in this one goes with it
            self._writes = True
            self._loop.call_soon(self._write)
        return await future

    async def close(self) -> None:
        """Hang up; whoever still waits for a reply gets a ConnectionError."""
        self._closed = True
        self._connecting.cancel()
        await asyncio.gather(self._connecting, return_exceptions=True)

    def _write(self) -> None:
        """Write what is asked, or have somebody connect first."""
        self._writes = False
        wire = self._wire
        if wire is not None and not self._make.leads_to(wire.link):
            self._break(ConnectionError("the connection was lost"))
            wire = None
        if wire is None:
            if self._queue:
                self._wake.set()
        elif not wire.full:
            self._send(wire)

    async def _connect(self) -> None:
        """Connect for what is asked where nothing leads there; until cancelled, perhaps with the loop."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                try:
                    await self._connected()
                except Exception as exc:  # noqa: BLE001 - whatever it is, it is for those who asked
                    self._refuse(exc)
                else:
                    self._write()
        finally:
            self._closed = True
            if self._watch is not None:
                self._watch.cancel()
            self._break(ConnectionError("the adapter was closed"))
            self._refuse(ConnectionError("the adapter was closed"))
            if self._leaving:
                await asyncio.gather(*self._leaving, return_exceptions=True)

    async def _connected(self) -> None:
        if self._wire is None and self._queue:
            self._wire = await wired(self._make, self._answer, self._break, timeout=self._timeout)
            self._wire.ready = self._write

    def _send(self, wire: Wire) -> None:
        pieces: list[bytes] = []
        now = time.monotonic()
        while self._queue:
            command, future = self._queue.popleft()
            if future.done():
                continue
            try:
                pieces += packed(command)
            except (RedisError, TypeError, UnicodeEncodeError) as exc:
                # it cannot be said, and is nobody else's fault
                future.set_exception(exc)
                continue
            self._flying.append((future, now))
        if pieces:
            self._watched()
            wire.write(pieces)

    def _answer(self, reply: Any) -> None:
        if not self._flying:
            # nobody asked, or those who did were told that the connection was given up
            return
        if isinstance(reply, ConnectionError):
            self._break(reply)
            return
        future, _ = self._flying.popleft()
        self._answered = time.monotonic()
        if not isinstance(reply, ResponseError):
            if not future.done():
                future.set_result(reply)
            return
        if not future.done():
            future.set_exception(reply)
        if is_elsewhere(reply):
            self._break(ConnectionError(str(reply)))

    def _break(self, exc: BaseException) -> None:
        """Give the connection up; its replies are lost."""
        wire, self._wire = self._wire, None
        flying, self._flying = self._flying, deque()
        if wire is not None:
            wire.forsake()
            self.troubled = time.monotonic()
            if not self._loop.is_closed():
                leaving = self._loop.create_task(wire.give_up(), name="aioqueue-redis-leave")
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)
        for future, _ in flying:
            _fail(future, exc)
        if self._queue:
            # what was held back while the connection was full goes on another one
            self._wake.set()

    def _refuse(self, exc: BaseException) -> None:
        """Tell those whose commands were not sent."""
        queue, self._queue = self._queue, deque()
        for _, future in queue:
            _fail(future, exc)

    def _watched(self) -> None:
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout, self._look)

    def _look(self) -> None:
        """Break the connection if the oldest command has waited too long, and nothing came meanwhile."""
        self._watch = None
        if not self._flying:
            return
        left = max(self._flying[0][1], self._answered) + self._timeout - time.monotonic()
        if left > 0:
            self._watch = self._loop.call_later(left, self._look)
            return
        self._break(TimeoutError(f"no answer within {self._timeout:g} s"))


def _fail(future: asyncio.Future[Any], exc: BaseException) -> None:
    if not future.done():
        # of its own, as tracebacks gather in an exception that is raised more than once
        kind = (
            exc.__class__ if isinstance(exc, ConnectionError | TimeoutError | SetUpError) else ConnectionError
        )
        future.set_exception(kind(str(exc) or type(exc).__name__))

"""Pipe: one connection on which any number of callers' commands travel, in the order they are made.

What is asked in the same moment is written in one piece. A caller that is cancelled leaves nothing
behind: the reply to its command is read all the same, and by nobody else.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from hiredis import pack_command  # pyright: ignore[reportUnknownVariableType]  # its stub names one item
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from aioqueue.adapters.redis.link import Link, Make, Value, connected

_pack = cast("Callable[[tuple[Value, ...]], bytes]", pack_command)


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
        self._connection: Link | None = None
        self._reading: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._writing = self._loop.create_task(self._write(), name="aioqueue-redis-write")
        self._breaking: asyncio.Task[None] | None = None
        self._closed = False
        self._answered = time.monotonic()
        self.troubled: float = time.monotonic()

    async def call(self, *command: Value) -> Any:
        """Return the reply to *command*. Raises what redis-py raises; then it may have been done or not."""
        if self._closed:
            raise ConnectionError("the adapter is closed")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._queue.append((command, future))
        self._wake.set()
        return await future

    async def close(self) -> None:
        """Hang up; whoever still waits for a reply gets a ConnectionError."""
        self._closed = True
        self._writing.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)

    async def _write(self) -> None:
        """Write until cancelled, by ``close`` or with the loop."""
        try:
            await self._write_all()
        finally:
            self._closed = True
            if self._watch is not None:
                self._watch.cancel()
            await self._break(ConnectionError("the adapter was closed"))
            self._refuse(ConnectionError("the adapter was closed"))

    async def _write_all(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                connection = await self._connected()
                await self._send(connection)
            except Exception as exc:  # noqa: BLE001 - whatever it is, it is for those who asked
                await self._break(exc)
                self._refuse(exc)

    async def _connected(self) -> Link:
        connection = self._connection
        if connection is not None and connection.is_connected:
            return connection
        await self._break(ConnectionError("the connection was lost"))
        connection = await connected(self._make, timeout=self._timeout)
        self._connection = connection
        self._reading = self._loop.create_task(self._read(connection), name="aioqueue-redis-read")
        return connection

    async def _send(self, connection: Link) -> None:
        packed: list[bytes] = []
        now = time.monotonic()
        while self._queue:
            command, future = self._queue.popleft()
            if future.done():
                continue
            try:
                # by hiredis: what is written of a workflow has thousands of parts
                packed.append(_pack(command))
            except (TypeError, UnicodeEncodeError) as exc:
                # it cannot be said, and is nobody else's fault
                future.set_exception(exc)
                continue
            self._flying.append((future, now))
        if packed:
            self._watched()
            async with asyncio.timeout(self._timeout):
                await connection.send_packed_command(packed, check_health=False)

    async def _read(self, connection: Link) -> None:
        try:
            while True:
                try:
                    reply, fault = await connection.read_response(disconnect_on_error=False), None
                except ResponseError as exc:
                    reply, fault = None, exc
                self._answer(reply, fault)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is for those who wait
            if connection is self._connection:
                self._reading = None
                await self._break(exc)

    def _answer(self, reply: Any, fault: ResponseError | None) -> None:
        future, _ = self._flying.popleft()
        self._answered = time.monotonic()
        if future.done():
            return
        if fault is None:
            future.set_result(reply)
        else:
            future.set_exception(fault)

    async def _break(self, exc: BaseException) -> None:
        """Give the connection up; its replies are lost."""
        connection, self._connection = self._connection, None
        reading, self._reading = self._reading, None
        flying, self._flying = self._flying, deque()
        if reading is not None:
            reading.cancel()
        if connection is not None:
            self.troubled = time.monotonic()
            await connection.disconnect(nowait=True)
        for future, _ in flying:
            _fail(future, exc)

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
        exc = TimeoutError(f"no answer within {self._timeout:g} s")
        self._breaking = self._loop.create_task(self._break(exc), name="aioqueue-redis-break")


def _fail(future: asyncio.Future[Any], exc: BaseException) -> None:
    if not future.done():
        # of its own, as tracebacks gather in an exception that is raised more than once
        kind = exc.__class__ if isinstance(exc, ConnectionError | TimeoutError) else ConnectionError
        future.set_exception(kind(str(exc) or type(exc).__name__))

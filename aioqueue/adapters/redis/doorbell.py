"""Doorbell: a blocking read, on a connection of its own, that ends when a message has come.

What it brings is held by ``<consumer>.wait``, never begun: the fetch script takes it from there, also
if the reply was lost on its way. So the read may be cut off at any time, and nothing is lost sight of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from redis.exceptions import ResponseError

from aioqueue.adapters.redis.faults import is_elsewhere
from aioqueue.adapters.redis.link import Link, Make, Value, connected, packed

_MARGIN: Final = 2.0


class Doorbell:
    """Waits for one consumer at a time. make: makes links.

    timeout: seconds to wait for a connection.
    """

    def __init__(self, make: Make, consumer: str, *, timeout: float) -> None:
        self._make = make
        self._consumer = f"{consumer}.wait"
        self._timeout = timeout
        self._connection: Link | None = None
        self._reading: asyncio.Task[str | None] | None = None

    async def wait(self, streams: Sequence[str], *, seconds: float) -> str | None:
        """Return the stream of which something has come within *seconds*, '' for any, None if surely none.

        ``cut`` ends the wait at once. Raises what redis-py raises, ResponseError for a missing group too.
        """
        reading = asyncio.create_task(self._read(streams, seconds), name="aioqueue-redis-block")
        self._reading = reading
        try:
            await asyncio.wait([reading])
        finally:
            self._reading = None
            if not reading.done():
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
        # cut off, it hangs up, and may have been handed something by then
        return "" if reading.cancelled() else reading.result()

    def cut(self) -> None:
        """End the wait that is going on, if one is."""
        if self._reading is not None:
            self._reading.cancel()

    async def close(self) -> None:
        """Hang up."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def _read(self, streams: Sequence[str], seconds: float) -> str | None:
        milliseconds = max(1, int(seconds * 1000))
        try:
            connection = await self._connected()
            async with asyncio.timeout(seconds + self._timeout + _MARGIN):
                command: tuple[Value, ...] = (
                    "XREADGROUP", "GROUP", "w", self._consumer, "BLOCK", milliseconds, "COUNT", 1,
                    "STREAMS", *streams, *([">"] * len(streams)),
                )  # fmt: skip
                await connection.send_packed_command(packed(connection, command), check_health=False)
                reply = await connection.read_response(disconnect_on_error=False)
        except ResponseError as exc:
            if is_elsewhere(exc):
                await self.close()
            raise
        except BaseException:
            await self.close()
            raise
        if not reply:
            return None
        # what lay there already may be of several
        return reply[0][0].decode() if len(reply) == 1 else ""

    async def _connected(self) -> Link:
        connection = self._connection
        if connection is None or not connection.is_connected or not self._make.leads_to(connection):
            await self.close()
            connection = self._connection = await connected(self._make, timeout=self._timeout)
        return connection

"""Doorbell: a blocking read, on a connection of its own, that ends when a message has come.

What it brings is held by ``<consumer>.wait``, never begun: the fetch script takes it from there, also
if the reply was lost on its way. So the read may be cut off at any time, and nothing is lost sight of.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any, Final

from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from aioqueue.adapters.redis.faults import is_elsewhere
from aioqueue.adapters.redis.link import Make, Value, packed
from aioqueue.adapters.redis.wire import Wire, wired

_MARGIN: Final = 2.0


class Doorbell:
    """Waits for one consumer at a time. make: makes links.

    timeout: seconds to wait for a connection.
    """

    def __init__(self, make: Make, consumer: str, *, timeout: float) -> None:
        self._make = make
        self._consumer = f"{consumer}.wait"
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._wire: Wire | None = None
        self._broken = self._cut = False
        self._connecting: asyncio.Task[Wire] | None = None
        self._rung: asyncio.Future[Any] | None = None

    async def wait(self, streams: Sequence[str], *, seconds: float) -> str | None:
        """Return the stream of which something has come within *seconds*, '' for any, None if surely none.

        ``cut`` ends the wait at once. Raises what redis-py raises, ResponseError for a missing group too.
        """
        self._cut = False
        wire = self._wire
        if wire is None or self._broken or not self._make.leads_to(wire.link):
            wire = await self._connected()
            if wire is None or self._cut:
                return ""
            if self._broken:
                raise ConnectionError("the connection was lost")
        command: tuple[Value, ...] = (
            "XREADGROUP", "GROUP", "w", self._consumer, "BLOCK", max(1, math.ceil(seconds * 1000)),
            "COUNT", 1, "STREAMS", *streams, *([">"] * len(streams)),
        )  # fmt: skip
        rung = self._rung = self._loop.create_future()
        late = self._loop.call_later(seconds + self._timeout + _MARGIN, self._end, TimeoutError("no answer"))
        try:
            wire.write(packed(command))
            reply = await rung
        except ResponseError as exc:
            if is_elsewhere(exc):
                await self.close()
            raise
        except BaseException:
            await self.close()
            raise
        finally:
            late.cancel()
            self._rung = None
        if reply is self:
            # cut off, it hangs up, and may have been handed something by then
            await self.close()
            return ""
        if not reply:
            return None
        # what lay there already may be of several
        return str(reply[0][0].decode()) if len(reply) == 1 else ""

    def cut(self) -> None:
        """End the wait that is going on, if one is."""
        self._cut = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._rung is not None and not self._rung.done():
            self._rung.set_result(self)

    async def close(self) -> None:
        """Hang up."""
        wire, self._wire, self._broken = self._wire, None, False
        if wire is not None:
            await wire.give_up()

    async def _connected(self) -> Wire | None:
        """Connect; None if cut off."""
        await self.close()
        connecting = asyncio.create_task(
            wired(self._make, self._told, self._end, timeout=self._timeout), name="aioqueue-redis-block"
        )
        self._connecting = connecting
        try:
            await asyncio.wait([connecting])
        except BaseException:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            raise
        finally:
            self._connecting = None
            if not connecting.cancelled() and connecting.exception() is None:
                self._wire = connecting.result()
        return None if connecting.cancelled() else connecting.result()

    def _told(self, reply: Any) -> None:
        if isinstance(reply, ResponseError | ConnectionError):
            self._end(reply)
        elif self._rung is not None and not self._rung.done():
            self._rung.set_result(reply)

    def _end(self, exc: Exception) -> None:
        """End the wait that is going on by an error; between two, a connection that is lost is of no use."""
        self._broken = self._broken or not isinstance(exc, ResponseError)
        if self._rung is not None and not self._rung.done():
            self._rung.set_exception(exc)

"""Wire: the transport of a link, once the library has connected and signed in.

Replies are handed on from within the read that has brought them, parsed by hiredis as the library's own
are: by its streams each costs a turn of the loop and some fifty calls more, and all of them together a
quarter of the calls of a short trip. Nothing is framed or parsed here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

import hiredis
from redis.exceptions import ConnectionError, InvalidResponse

from aioqueue.adapters.redis.link import Link, Make, connected

_NONE: Final = object()


class Wire(asyncio.Protocol):
    """Takes the transport of *link* over. Raises ConnectionError.

    told: called with each reply, which may be an exception of the library's. lost: called with the reason
    when nothing more will come. full: no more is to be written until *ready* is called.
    """

    def __init__(
        self, link: Link, told: Callable[[Any], None], lost: Callable[[Exception], None] | None = None
    ) -> None:
        own = cast("Any", link)
        self.link = link
        self.lost: Callable[[Exception], None] = lost or _unheard
        self.ready: Callable[[], None] = _idle
        self.full: bool = False
        self._told = told
        self._given_up = False
        self._transport: asyncio.Transport = own._writer.transport  # noqa: SLF001 - it has no other name
        if self._transport.is_closing():
            # its end was told to the library's streams
            raise ConnectionError("Connection closed by server.")
        reader: Any = hiredis.Reader
        as_error: Any = own._parser.parse_error  # noqa: SLF001 - which class an error has
        self._replies: Any = reader(protocolError=InvalidResponse, replyError=as_error, notEnoughData=_NONE)
        self._transport.set_protocol(self)

    def write(self, pieces: list[bytes]) -> None:
        """Write commands; what cannot be written at once is kept until it can."""
        self._transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    async def give_up(self) -> None:
        """Hang up; what still comes is for nobody."""
        self.forsake()
        await self.link.disconnect(nowait=True)

    def forsake(self) -> None:
        """Hand on nothing more."""
        self._given_up, self.lost, self.ready = True, _unheard, _idle

    def data_received(self, data: bytes) -> None:
        self._replies.feed(data)
        try:
            while not self._given_up and (reply := self._replies.gets()) is not _NONE:
                self._told(reply)
        except InvalidResponse as exc:
            self.lost(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        reason = f"the connection was lost: {exc}" if exc else "Connection closed by server."
        self.lost(ConnectionError(reason))

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        self.ready()


async def wired(
    make: Make,
    told: Callable[[Any], None],
    lost: Callable[[Exception], None] | None = None,
    *,
    timeout: float,
) -> Wire:
    """Return the wire of a link that is opened within *timeout* s. Raises what redis-py raises."""
    link = await connected(make, timeout=timeout)
    try:
        return Wire(link, told, lost)
    except ConnectionError:
        await link.disconnect(nowait=True)
        raise


def _unheard(exc: Exception) -> None:
    """Hear of an end that nobody waits for."""


def _idle() -> None:
    """Have nothing to write."""

"""Link: a connection of redis-py's, as the rest of the adapter sees it.

Framing, TLS and signing in are the library's. Its clients and pools are not used on the event loop:
a pool hands each command a connection of its own, and a cancelled command takes one with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol, cast

import hiredis
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import TimeoutError

from aioqueue.adapters.redis.driver import driver
from aioqueue.adapters.redis.route import Route

_pack: Any = cast("Any", hiredis).pack_command

Value = str | bytes | int | float


class Link(Protocol):
    """One connection. Replies are read in the order of the commands, by one reader."""

    async def connect(self) -> None: ...

    async def disconnect(self, nowait: bool = False) -> None: ...

    async def send_packed_command(self, command: Sequence[bytes], check_health: bool = True) -> None: ...

    async def read_response(self, *, disconnect_on_error: bool = True) -> Any: ...


def packed(command: tuple[Value, ...]) -> list[bytes]:
    """Return a command as it is written. Raises what hiredis raises: TypeError, UnicodeEncodeError."""
    # redis-py packs in Python, which is most of what a command of many arguments costs
    return [_pack(command)]


class Make(Protocol):
    """Makes links to the server, wherever that is at the moment."""

    async def link(self) -> Link:
        """Return a link that is not open yet. Raises what redis-py raises."""
        ...

    def leads_to(self, link: Link) -> bool:
        """Tell whether the server is still where *link* goes, as far as anybody here knows."""
        ...


class Links:
    """Makes links to what *route* finds."""

    def __init__(self, route: Route) -> None:
        self._route = route

    async def link(self) -> Link:
        where = None
        if self._route.varies:
            # in a thread, as the one of the leases looks in the same way while the loop may be blocked
            where = await asyncio.to_thread(self._route.find)
        pool: Any = ConnectionPool
        url = self._route.url(where)
        # redis-py's own retries are off: it cannot know what is safe to repeat
        factory = pool.from_url(
            url,
            protocol=2,
            socket_timeout=None,
            socket_connect_timeout=self._route.options.timeout,
            retry=Retry(NoBackoff(), 0),
            **driver(),
            **({} if url.startswith("unix:") else {"socket_keepalive": True}),
        )
        return cast("Link", factory.make_connection())

    def leads_to(self, link: Link) -> bool:
        if not self._route.varies:
            return True
        return (getattr(link, "host", None), getattr(link, "port", None)) == self._route.latest


async def connected(make: Make, *, timeout: float) -> Link:
    """Return an open link within *timeout* s. Raises what redis-py raises."""
    link: Link | None = None
    try:
        async with asyncio.timeout(timeout):
            link = await make.link()
            await link.connect()
    except BaseException as exc:
        if link is not None:
            await link.disconnect(nowait=True)
        if isinstance(exc, asyncio.TimeoutError):
            raise TimeoutError(f"no connection within {timeout:g} s") from exc
        raise
    return link

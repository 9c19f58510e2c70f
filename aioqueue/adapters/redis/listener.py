"""Listener: the one subscription of a process, for any number of channels.

Whoever subscribes is told once the server has confirmed it, again after every reconnect, as what was
said meanwhile is lost, and for every message.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from random import random
from typing import Final, cast

from redis.exceptions import ConnectionError, NoPermissionError

from aioqueue.adapters.redis.advice import advice
from aioqueue.adapters.redis.link import Link, Make, connected, packed

_log = logging.getLogger("aioqueue.redis")

Told = Callable[[bytes | None], None]
"""Called with a message, or with None when the subscription stands."""

_PAUSES: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_PING: Final = 5.0
_LATER: Final = 1.0
"""Seconds within which the server hears of channels that nobody listens to any more."""


class Listener:
    """Connects when somebody subscribes, and as often as it takes. make: makes links.

    timeout: seconds to wait for a connection and for the answer to a sign of life.
    """

    def __init__(self, make: Make, *, timeout: float) -> None:
        self._make = make
        self._timeout = timeout
        self._channels: dict[str, list[Told]] = {}
        self._confirmed: set[str] = set()
        self._news: list[tuple[str, str]] = []
        self._changed = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._later: asyncio.TimerHandle | None = None
        self._tries = 0
        self._heard = 0.0
        self._forbidden = False

    def subscribe(self, channel: str, told: Told) -> None:
        """Call *told* for each message of *channel*."""
        others = self._channels.get(channel)
        if others is not None:
            others.append(told)
            if channel in self._confirmed:
                told(None)
            return
        self._channels[channel] = [told]
        self._tell("SUBSCRIBE", channel)
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run(), name="aioqueue-redis-listen")

    def unsubscribe(self, channel: str, told: Told) -> None:
        """Call *told* no more for *channel*."""
        subscribers = self._channels.get(channel, [])
        if told in subscribers:
            subscribers.remove(told)
            if not subscribers:
                del self._channels[channel]
                self._confirmed.discard(channel)
                # what comes of it meanwhile is for nobody; with the next channel it costs no write of its own
                self._news.append(("UNSUBSCRIBE", channel))
                if self._later is None:
                    self._later = asyncio.get_running_loop().call_later(_LATER, self._say_now)

    def confirmed(self, channel: str) -> bool:
        """Tell whether what is said on *channel* from now on is heard."""
        return channel in self._confirmed

    async def close(self) -> None:
        """Hang up."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        self._channels.clear()
        self._confirmed.clear()

    def _tell(self, verb: str, channel: str) -> None:
        self._news.append((verb, channel))
        self._changed.set()

    def _say_now(self) -> None:
        self._later = None
        if self._news:
            self._changed.set()

    async def _run(self) -> None:
        self._tries = 0
        while True:
            try:
                connection = await connected(self._make, timeout=self._timeout)
                try:
                    await self._serve(connection)
                finally:
                    await connection.disconnect(nowait=True)
            except Exception as exc:  # noqa: BLE001 - whatever it is, the next connection is to be tried
                self._lost(exc)
            await asyncio.sleep(_PAUSES[min(self._tries, len(_PAUSES) - 1)] * (1 + random()))
            self._tries += 1

    def _lost(self, exc: Exception) -> None:
        self._confirmed.clear()
        if isinstance(exc, NoPermissionError) and not self._forbidden:
            self._forbidden = True
            _log.warning(
                "ends of tasks and changes of schedules are told of only every few seconds: %s",
                advice(exc, ""),
            )
        else:
            _log.debug("the subscription was lost, trying again: %s", exc)

    async def _serve(self, connection: Link) -> None:
        """Listen until the connection is lost."""
        self._news = [("SUBSCRIBE", channel) for channel in self._channels]
        self._changed.set()
        self._heard = asyncio.get_running_loop().time()
        reading = asyncio.create_task(self._read(connection), name="aioqueue-redis-hear")
        reading.add_done_callback(lambda _: self._changed.set())
        try:
            while not reading.done():
                await self._say(connection)
                if not self._make.leads_to(connection):
                    raise ConnectionError("the server is elsewhere by now")
            await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _say(self, connection: Link) -> None:
        """Wait for what is to be said, or for the time of a sign of life, and say it."""
        loop = asyncio.get_running_loop()
        silent = self._heard + _PING + self._timeout
        timer = loop.call_at(min(silent, loop.time() + _PING), self._changed.set)
        try:
            await self._changed.wait()
        finally:
            timer.cancel()
        if loop.time() >= max(silent, self._heard + _PING + self._timeout):
            raise ConnectionError(f"no sign of life for {_PING + self._timeout:g} s")
        self._changed.clear()
        news, self._news = self._news, []
        pieces: list[bytes] = []
        for verb, channels in _runs(news):
            pieces += packed((verb, *channels))
        async with asyncio.timeout(self._timeout):
            await connection.send_packed_command(pieces or packed(("PING",)), check_health=False)

    async def _read(self, connection: Link) -> None:
        loop = asyncio.get_running_loop()
        while True:
            reply = await connection.read_response(disconnect_on_error=False)
            self._tries, self._heard = 0, loop.time()
            if reply == b"PONG":
                # with no channel left it is an ordinary connection, and answers as one
                continue
            kind, name, data = _parts(reply)
            if kind == b"subscribe":
                if name.decode() in self._channels:
                    self._confirmed.add(name.decode())
            elif kind != b"message":
                continue
            for told in tuple(self._channels.get(name.decode(), ())):
                told(None if kind == b"subscribe" else data)


def _parts(reply: object) -> tuple[bytes, bytes, bytes]:
    """Return kind, channel and message of what a subscription brings."""
    if not isinstance(reply, list):
        raise ConnectionError(f"no answer to a subscription: {reply!r}")
    parts = cast("list[bytes]", reply)
    return parts[0], parts[1], parts[-1]


def _runs(news: list[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Return *news* with neighbours of the same verb in one, in order."""
    runs: list[tuple[str, list[str]]] = []
    for verb, channel in news:
        if runs and runs[-1][0] == verb:
            runs[-1][1].append(channel)
        else:
            runs.append((verb, [channel]))
    return runs

"""A TCP proxy that breaks what runs over it, in the event loop of the test.

It knows no protocol. An exchange is what one read from a client brings, and what the server sends
next is taken for its reply: exact for a client that waits for each reply before it sends again. A
connection suffers one fault at a time; what the client sends meanwhile is passed on unharmed.

A blocking client must run in another thread or process, or it keeps the proxy from working.
"""

from __future__ import annotations

import asyncio
import errno
import os
import random
import socket
import struct
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Self, assert_never

from tests.support.waiting import pause

PORTS = range(20_000, 32_000)
"""Below the ports that systems hand out by themselves, so that no client's own port is in the way."""
_SHARES = 8
_GIVEN: set[int] = set()

_QUIET = 0.01
_LONGEST_REPLY = 100
_SLOW_PIECES = 64
_READ = 65_536
_ABORT = struct.pack("ii", 1, 0)


def some_port() -> int:
    """Return one of PORTS that was not returned before, of this test process's own share of them.

    It may be some time until who is given it listens there, and nobody else is to do so meanwhile.
    """
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % _SHARES
    share = PORTS[number * len(PORTS) // _SHARES : (number + 1) * len(PORTS) // _SHARES]
    if len(_GIVEN) >= len(share) // 2:
        _GIVEN.clear()
    # not from the generator that tests seed: processes side by side would all try the same ports
    port = random.SystemRandom().choice([port for port in share if port not in _GIVEN])
    _GIVEN.add(port)
    return port


class Fault(Enum):
    """What can happen to one exchange; a cut drops both sockets, by RST where nothing else is said."""

    CUT_REQUEST = "cut before request"
    """The request never reaches the server."""
    CUT_REPLY = "cut before reply"
    """The server has done its work, however long that takes, and the whole reply is lost."""
    CUT_MID_REPLY = "cut in mid reply"
    """The first half of the reply arrives and then the end of the stream; the server gets an RST."""
    STALL = "stall"
    """Nothing passes in either direction, nor does an end of the stream; see FaultProxy.stall_seconds."""
    SLOW = "slow"
    """The reply arrives in single bytes, a long one in tiny pieces."""


class _Cut(Exception):  # noqa: N818 - it is no error but the end of a connection
    """Both sockets are to be dropped."""


@dataclass
class _Charge:
    """A fault that waits for its exchanges. left: for how many."""

    fault: Fault
    left: int
    matching: bytes | None


@dataclass(frozen=True)
class _Chance:
    """Faults by chance. rate: from 0 to 1."""

    rate: float
    faults: Sequence[Fault]
    dice: random.Random
    matching: bytes | None


@dataclass
class _Plan:
    """What is to go wrong, and what went; shared by the connections of one proxy."""

    charges: list[_Charge] = field(default_factory=list)
    chance: _Chance | None = None
    counts: Counter[Fault] = field(default_factory=Counter)
    stall_seconds: float | None = None
    stall_ends_in_cut: bool = False
    bytes_up: int = 0
    bytes_down: int = 0

    def choose(self, request: bytes) -> Fault | None:
        """Return the fault *request* is to suffer; what was armed goes before chance."""
        for charge in self.charges:
            if _matches(request, charge.matching):
                charge.left -= 1
                if not charge.left:
                    self.charges.remove(charge)
                return charge.fault
        chance = self.chance
        if chance and _matches(request, chance.matching) and chance.dice.random() < chance.rate:
            return chance.dice.choice(chance.faults)
        return None


class _Link:
    """One client's connection and the one to the server that is made for it."""

    def __init__(self, client: socket.socket, plan: _Plan) -> None:
        self._loop = asyncio.get_running_loop()
        self._client, self._plan = client, plan
        self._server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._fault: Fault | None = None
        self._flowing, self._released = asyncio.Event(), asyncio.Event()
        self._flowing.set()
        self._ends_in_cut = False
        for end in (self._client, self._server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def run(self, address: tuple[str, int]) -> None:
        """Return when both sides have ended, or one of them broke, or a fault cut the connection."""
        try:
            await self._loop.sock_connect(self._server, address)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._upward(), name="proxy: requests")
                pumps.create_task(self._downward(), name="proxy: replies")
        except* OSError:
            self.abort()
        except* _Cut:
            pass

    def abort(self, *, client: bool = True) -> None:
        """Let the closing of the sockets be an RST; without *client*, that of the server's alone."""
        for end in (self._client, self._server) if client else (self._server,):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)

    def close(self) -> None:
        """Close both sockets; nobody may be at work on them any more."""
        self._client.close()
        self._server.close()

    def release(self, *, cut: bool | None = None) -> None:
        """End a stall, if there is one. cut: in a cut; None means as the plan says."""
        if self._fault is Fault.STALL:
            self._ends_in_cut = self._plan.stall_ends_in_cut if cut is None else cut
            self._released.set()

    def calm(self) -> None:
        """Spare the exchange what it has not suffered yet."""
        self.release(cut=False)
        self._fault = None

    async def _upward(self) -> None:
        while request := await self._loop.sock_recv(self._client, _READ):
            if self._fault is None:
                self._fault = self._plan.choose(request)
                if self._fault is Fault.CUT_REQUEST:
                    self._cut(Fault.CUT_REQUEST)
                if self._fault is Fault.STALL:
                    await self._stall()
            await self._loop.sock_sendall(self._server, request)
            self._plan.bytes_up += len(request)
        self._server.shutdown(socket.SHUT_WR)

    async def _downward(self) -> None:
        while reply := await self._read_reply():
            match self._fault:
                case Fault.CUT_REPLY:
                    self._cut(Fault.CUT_REPLY)
                case Fault.CUT_MID_REPLY:
                    await self._pass_on(reply[: len(reply) // 2])
                    self._cut(Fault.CUT_MID_REPLY, client=False)
                case Fault.SLOW:
                    await self._trickle(reply)
                case None | Fault.CUT_REQUEST | Fault.STALL:
                    await self._pass_on(reply)
                case _:
                    assert_never(self._fault)
        self._client.shutdown(socket.SHUT_WR)

    async def _read_reply(self) -> bytes:
        """Return what comes next from the server; all of a reply that is to be cut."""
        try:
            reply = await self._loop.sock_recv(self._server, _READ)
        except OSError:
            await self._flowing.wait()
            raise
        if reply and self._fault in {Fault.CUT_REPLY, Fault.CUT_MID_REPLY}:
            # The replies to a pipeline come one after the other: it is done when no more of them come.
            for _ in range(_LONGEST_REPLY):
                await pause(_QUIET)
                more = self._at_hand()
                reply += more
                if not more:
                    break
        # During a stall nothing passes: no bytes, and neither an end nor an error.
        await self._flowing.wait()
        return reply

    def _at_hand(self) -> bytes:
        with suppress(BlockingIOError):
            return self._server.recv(_READ)
        return b""

    async def _pass_on(self, reply: bytes) -> None:
        await self._loop.sock_sendall(self._client, reply)
        self._plan.bytes_down += len(reply)

    async def _trickle(self, reply: bytes) -> None:
        self._plan.counts[Fault.SLOW] += 1
        size = max(1, len(reply) // _SLOW_PIECES)
        while len(reply) > size and self._fault is Fault.SLOW:
            await self._pass_on(reply[:size])
            reply = reply[size:]
            await pause(0.001)
        # The client may ask again as soon as it has the last byte, and that is another exchange.
        self._fault = None
        await self._pass_on(reply)

    async def _stall(self) -> None:
        self._plan.counts[Fault.STALL] += 1
        self._flowing.clear()
        self._released.clear()
        self._ends_in_cut = self._plan.stall_ends_in_cut
        with suppress(TimeoutError):
            async with asyncio.timeout(self._plan.stall_seconds):
                await self._released.wait()
        if self._ends_in_cut:
            self.abort()
            raise _Cut
        self._fault = None
        self._flowing.set()

    def _cut(self, fault: Fault, *, client: bool = True) -> None:
        self._plan.counts[fault] += 1
        self.abort(client=client)
        raise _Cut


class FaultProxy:
    """Passes on what comes, and does harm to it: ``async with FaultProxy(host, port) as proxy``.

    port: where it listens, on 127.0.0.1. refuse: drop every new connection at once. accepted,
    refused: how many connections there were of each kind. The target is an IPv4 address or a name.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self.port = 0
        self.refuse = False
        self.accepted = 0
        self.refused = 0
        self._target = (target_host, target_port)
        self._plan = _Plan()
        self._links: dict[_Link, asyncio.Task[None]] = {}
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._listener = _listen()
        self.port = self._listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listener, self._accept)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def counts(self) -> Counter[Fault]:
        """How often each fault has struck: counted when it strikes, not when it is armed."""
        return self._plan.counts

    @property
    def armed(self) -> int:
        """How many armed faults have not found their exchange yet."""
        return sum(charge.left for charge in self._plan.charges)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._links)

    @property
    def bytes_up(self) -> int:
        """How many bytes the server was sent."""
        return self._plan.bytes_up

    @property
    def bytes_down(self) -> int:
        """How many bytes the clients were sent."""
        return self._plan.bytes_down

    @property
    def stall_seconds(self) -> float | None:
        """How long a stall lasts that begins from now on; None, as at first, means until it is released."""
        return self._plan.stall_seconds

    @stall_seconds.setter
    def stall_seconds(self, seconds: float | None) -> None:
        self._plan.stall_seconds = seconds

    @property
    def stall_ends_in_cut(self) -> bool:
        """Whether a stall that begins from now on ends in a cut and not, as at first, in a late delivery."""
        return self._plan.stall_ends_in_cut

    @stall_ends_in_cut.setter
    def stall_ends_in_cut(self, cut: bool) -> None:
        self._plan.stall_ends_in_cut = cut

    def arm(self, fault: Fault, *, times: int = 1, matching: bytes | None = None) -> None:
        """Let the next *times* exchanges, on any connection, suffer *fault*.

        matching: only requests with these bytes in one read count. What was armed first strikes first.
        """
        if times < 1:
            raise ValueError("times must be at least 1")
        self._plan.charges.append(_Charge(fault, times, matching))

    def random_faults(
        self, rate: float, faults: Sequence[Fault], seed: int, matching: bytes | None = None
    ) -> None:
        """From now on let each exchange suffer one of *faults* with probability *rate*, until ``calm()``."""
        self._plan.chance = _Chance(rate, tuple(faults), random.Random(seed), matching)

    def calm(self) -> None:
        """Do no more harm: disarm everything, spare who waits for a reply, and let stalled ones go on."""
        self._plan.charges.clear()
        self._plan.chance = None
        for link in self._links:
            link.calm()

    def release(self, *, cut: bool | None = None) -> None:
        """End all stalls. cut: in a cut, or in a late delivery; None means as ``stall_ends_in_cut`` says."""
        for link in self._links:
            link.release(cut=cut)

    def cut_all(self) -> int:
        """Drop every open connection, by RST, and return how many there were; the loop does it next."""
        cut = len(self._links)
        for link, task in self._links.items():
            link.abort()
            task.cancel()
        self._links.clear()
        return cut

    async def close(self) -> None:
        """Listen no more, drop every connection, and return when nothing is left; may be called twice."""
        if self._listener.fileno() < 0:
            return
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        self.cut_all()
        # not told of the test's exception, which it would wrap in a group
        await self._tasks.__aexit__(None, None, None)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        if self.refuse:
            self.refused += 1
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            client.close()
            return
        self.accepted += 1
        link = _Link(client, self._plan)
        task = self._tasks.create_task(link.run(self._target), name="proxy: connection")
        self._links[link] = task

        def end(task: asyncio.Task[None]) -> None:
            # a task that is cancelled before it begins closes nothing itself
            link.close()
            self._links.pop(link, None)

        task.add_done_callback(end)


def _matches(request: bytes, matching: bytes | None) -> bool:
    return matching is None or matching in request


def _listen() -> socket.socket:
    """Return a socket that listens on a free one of PORTS."""
    while True:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.bind(("127.0.0.1", some_port()))
            listener.listen(1_024)
        except OSError as exc:
            listener.close()
            if exc.errno != errno.EADDRINUSE:
                raise
        else:
            listener.setblocking(False)
            return listener

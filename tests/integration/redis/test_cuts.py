"""500 network cuts under load: nothing is lost, nothing is doubled, and it goes on at once.

Server, worker, senders and waiters of one process go through a proxy that cuts one exchange after
another, many of them when the server has done its work already. No lease lapses here, so a task
that runs twice, or whose callback does, is a fault.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest

from aioqueue import AsyncResult, Server, Signature
from aioqueue.errors import BrokerUnavailableError
from aioqueue.ids import new_id
from tests.integration.redis.apparatus import Namespace, insisting, settled, through
from tests.support.proxy import Fault, FaultProxy
from tests.support.redis_server import HOST, RedisServer
from tests.support.waiting import eventually, pause, within

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(400)]

CUTS, REPLIES_LOST, RECONNECT = 500, 100, 2.0
WAITING = 100
FAULTS = [
    *[Fault.CUT_REPLY] * 10,
    *[Fault.CUT_REQUEST] * 7,
    *[Fault.CUT_MID_REPLY] * 7,
    Fault.STALL,
    Fault.SLOW,
]
KINDS_OF_CUT = (Fault.CUT_REPLY, Fault.CUT_REQUEST, Fault.CUT_MID_REPLY)


class Load:
    """Tasks of which each has a callback, what they did, and who waits for them."""

    def __init__(self, server: Server, dice: random.Random) -> None:
        self.server = server
        self.runs: Counter[int] = Counter()
        self.released: Counter[int] = Counter()
        self.waiting: dict[int, asyncio.Task[int]] = {}
        self.answered = 0
        self._dice = dice
        self._numbers = itertools.count()
        server.register_task("work", self.work)
        server.register_task("note", self.note)

    async def work(self, number: int) -> int:
        """Take 5 to 30 ms."""
        self.runs[number] += 1
        await pause(self._dice.uniform(0.005, 0.03))
        return number

    async def note(self, number: int) -> None:
        """Follow one commit."""
        self.released[number] += 1

    async def send(self, over: asyncio.Event) -> None:
        """Send one call or some, again and again, and wait for each."""
        while not over.is_set():
            numbers = [next(self._numbers) for _ in range(self._dice.choice([1, 1, 1, 20]))]
            results = await insisting(self.server, [self._call(number) for number in numbers])
            for number, result in zip(numbers, results, strict=True):
                self.waiting[number] = asyncio.create_task(self._value(result))
            await eventually(lambda: len(self.waiting) - self.answered < WAITING)

    async def _value(self, result: AsyncResult[int]) -> int:
        value = await result
        self.answered += 1
        return value

    def _call(self, number: int) -> Signature[int]:
        follow = Signature[None](name="note", args=(number,), immutable=True)
        return Signature(name="work", args=(number,), id=new_id(), on_success=(follow,))


class Probe:
    """How long the adapter could not be asked: from each cut to the end of the next call that succeeded."""

    def __init__(self, server: Server, cuts: Callable[[], int]) -> None:
        self._server = server
        self._cuts = cuts
        self._struck: list[float] = []
        self._begun: list[float] = []
        self._ended: list[float] = []

    async def watch(self, over: asyncio.Event) -> None:
        """Note the moment of every cut."""
        clock = asyncio.get_running_loop().time
        while not over.is_set():
            self._struck += [clock()] * (self._cuts() - len(self._struck))
            await pause(0.001)

    async def ask(self, over: asyncio.Event) -> None:
        """Ask one thing after another."""
        clock = asyncio.get_running_loop().time
        while not over.is_set():
            begun = clock()
            with suppress(BrokerUnavailableError):
                await self._server.stores.broker.stats(["default"])
                self._begun.append(begun)
                self._ended.append(clock())
            await pause(0.002)

    async def answered(self) -> None:
        """Return once a call that was made from now on has succeeded."""
        now = asyncio.get_running_loop().time()
        await eventually(lambda: bool(self._begun) and self._begun[-1] >= now)

    def outages(self) -> list[float]:
        """Return the seconds it took after each cut, sorted."""
        nexts = [(at, bisect_left(self._begun, at)) for at in self._struck]
        return sorted(self._ended[index] - at for at, index in nexts if index < len(self._ended))


class Saboteur:
    """Harms one exchange after another, each when the adapter has answered since the last."""

    def __init__(self, proxy: FaultProxy, dice: random.Random) -> None:
        self._proxy = proxy
        self._dice = dice

    @property
    def cuts(self) -> int:
        """How many cuts have struck."""
        return sum(self._proxy.counts[kind] for kind in KINDS_OF_CUT)

    async def work(self, probe: Probe) -> None:
        """Return when enough have."""
        self._proxy.stall_seconds = 0.2
        while self.cuts < CUTS:
            self._proxy.stall_ends_in_cut = self._dice.random() < 0.5
            self._proxy.arm(self._dice.choice(FAULTS))
            await eventually(lambda: self._proxy.armed == 0)
            await pause(self._dice.uniform(0.0, 0.03))
            await probe.answered()


async def test_cuts_lose_nothing_double_nothing_and_are_over_soon(
    shared: RedisServer, url: str, namespace: Namespace
) -> None:
    dice = random.Random(5)
    async with FaultProxy(HOST, shared.port) as proxy:
        saboteur = Saboteur(proxy, dice)
        server = Server(through(proxy.port, url))
        load, probe, over = Load(server, dice), Probe(server, lambda: saboteur.cuts), asyncio.Event()
        async with server, server.worker(concurrency=50) as worker:
            async with asyncio.TaskGroup() as busy:
                for each in (*(load.send(over) for _ in range(6)), probe.ask(over), probe.watch(over)):
                    busy.create_task(each)
                await within(saboteur.work(probe), deadline=300.0)
                proxy.calm()
                over.set()
            values = await within(asyncio.gather(*load.waiting.values()), deadline=60.0)
            await eventually(lambda: load.released.total() >= len(values))
        total, outages = len(values), probe.outages()
        p99 = outages[int(len(outages) * 0.99)]
        print(
            f"{total} tasks under {saboteur.cuts} cuts, {dict(proxy.counts)}: each ran once, back after"
            f" {outages[len(outages) // 2]:.3f} s (p50), {p99:.3f} s (p99), {outages[-1]:.3f} s at most"
        )

    assert values == list(load.waiting)
    assert load.runs == Counter(range(total))
    assert load.released == Counter(range(total))
    assert worker.done == 2 * total
    assert proxy.counts[Fault.CUT_REPLY] >= REPLIES_LOST
    assert len(outages) >= CUTS * 0.9
    assert p99 <= RECONNECT
    await settled(namespace)

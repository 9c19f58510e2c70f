"""Orders: workflows whose sender dies at a moment of sending: all of one runs or nothing, and never twice."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aioqueue import AsyncResult, Chain, Router, Server, Signature, chord, current, group
from tests.chaos.crashes import LEASE, Pair, World
from tests.support.faulty import Crash, Faults
from tests.support.waiting import within

ID = "order"

_router = Router()
_here: ContextVar[Counter[str]] = ContextVar("here")


@_router.task
async def one() -> int:
    _here.get()[current().task_id] += 1
    return 1


@_router.task
async def more(x: int) -> int:
    _here.get()[current().task_id] += 1
    return x + 1


@_router.task
async def total(values: list[Any]) -> int:
    _here.get()[current().task_id] += 1
    return sum(value for value in values if isinstance(value, int))


@dataclass(frozen=True, slots=True)
class Order:
    """What is sent. value: what it comes to. calls: how many of them run."""

    call: Signature[Any]
    value: Any
    calls: int


def wide(width: int) -> Order:
    """Return a group."""
    return Order(group(one.s() for _ in range(width)), [1] * width, width)


def long(length: int) -> Order:
    """Return a chain."""
    return Order(Chain(steps=(one.s(), *(more.p().signature for _ in range(length - 1)))), length, length)


def mixed() -> Order:
    """Return a chord of calls and of a group of nothing, which is full before anything has run."""
    nothing: list[Signature[int]] = []
    return Order(chord(group([group(nothing), one.s(), one.s() | more.p()]), total.p()), 3, 4)


class Orders(World):
    """A world of one order. at_once: it is sent again before anybody works, and else after an heir has."""

    def __init__(self, pair: Pair, folder: Path, order: Order, *, at_once: bool) -> None:
        super().__init__(pair, folder, _router)
        # no worker dies, so none is to be taken for dead, however slow the machine
        self.lease = LEASE
        self.order = order
        self.at_once = at_once
        self.runs: Counter[str] = Counter()

    async def live(self, faults: Faults) -> None:
        """Send until the crash, let an heir work, send again."""
        _here.set(self.runs)
        await self._sent(faults)
        heir = self.process()
        async with heir:
            if self.at_once:
                await self._again(heir)
            await self.work(heir)
            ran = self.runs.total()
            whole = {self.order.calls} if self.at_once else {0, self.order.calls}
            assert ran in whole, f"{ran} of {self.order.calls} calls ran"
            result = await self._again(heir)
            assert not (ran and result.created), "is taken for another one"
            await self.work(heir)
            assert await within(result.get()) == self.order.value, "comes to something else"
            self.nothing_moves()
        await self.clear_up()
        assert set(self.runs.values()) == {1}, "runs twice"
        assert self.runs.total() == self.order.calls, "did not run"
        twice = [id for id, times in self.commits.items() if times > 1]
        assert twice == [], f"committed twice: {twice}"

    async def _sent(self, faults: Faults) -> None:
        sender = self.process(faults)
        with suppress(Crash):
            async with sender:
                await self._again(sender)

    async def _again(self, server: Server) -> AsyncResult[Any]:
        return await server.send(self.order.call.options(id=ID))

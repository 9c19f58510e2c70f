"""aioqueue, as its defaults have it; what a call asks for beyond them is told by the environment."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from aioqueue import Server, Signature, chord
from benchmarks import marks
from benchmarks.systems import CALLS_AS, NAP, RESULT_TTL, STORE, Sent

server = Server(STORE or "memory://", result_ttl=RESULT_TTL)


@server.task
async def noop(number: int) -> int:
    marks.ran(number)
    return number


@server.task
async def nap(number: int) -> int:
    marks.ran(number)
    await asyncio.sleep(NAP)
    return number


@server.task
async def carry(number: int, load: str) -> int:
    marks.ran(number)
    return number


@server.task(ignore_result=True)
async def forget(number: int) -> int:
    marks.ran(number)
    return number


@server.task(acks="early")
async def once(number: int) -> int:
    marks.ran(number)
    return number


@server.task
async def total(number: int, values: list[int]) -> int:
    marks.ran(number)
    return sum(values)


def _call() -> Callable[[int], Signature[int]]:
    """Return how the calls of this process are made: no-ops, unless CALLS_AS says otherwise."""
    kind, _, size = os.environ.get(CALLS_AS, "noop").partition(":")
    if kind == "carry":
        load = "x" * int(size)
        return lambda number: carry.s(number, load)
    if kind == "queues":
        return lambda number: noop.s(number).options(queue=f"q{number % int(size)}")
    return {"noop": noop, "forget": forget, "once": once}[kind].s


_made: Final = _call()


class Client:
    """Sends calls by typed signatures, as a user's code does."""

    async def open(self) -> None:
        await server.open()

    async def close(self) -> None:
        await server.close()

    async def send(self, number: int) -> Sent:
        return (await noop.send(number)).get

    async def send_many(self, numbers: Sequence[int]) -> list[Sent]:
        calls: list[Signature[int]] = [_made(number) for number in numbers]
        return [result.get for result in await server.send_many(calls)]

    async def send_naps(self, numbers: Sequence[int]) -> list[Sent]:
        calls: list[Signature[int]] = [nap.s(number) for number in numbers]
        return [result.get for result in await server.send_many(calls)]

    async def send_at(self, calls: Sequence[tuple[int, float]]) -> None:
        await server.send_many(
            [noop.s(number).options(eta=datetime.fromtimestamp(moment, UTC)) for number, moment in calls]
        )

    async def chord(self, numbers: range) -> int:
        return await (await chord(noop.map(numbers), total.p(numbers.stop)).send())

"""aioqueue, as its defaults have it."""

from __future__ import annotations

from collections.abc import Sequence

from aioqueue import Server, Signature, chord
from benchmarks import marks
from benchmarks.systems import RESULT_TTL, STORE, Sent

server = Server(STORE or "memory://", result_ttl=RESULT_TTL)


@server.task
async def noop(number: int) -> int:
    marks.ran(number)
    return number


@server.task
async def total(number: int, values: list[int]) -> int:
    marks.ran(number)
    return sum(values)


class Client:
    """Sends calls by typed signatures, as a user's code does."""

    async def open(self) -> None:
        await server.open()

    async def close(self) -> None:
        await server.close()

    async def send(self, number: int) -> Sent:
        return (await noop.send(number)).get

    async def send_many(self, numbers: Sequence[int]) -> list[Sent]:
        calls: list[Signature[int]] = [noop.s(number) for number in numbers]
        return [result.get for result in await server.send_many(calls)]

    async def chord(self, numbers: range) -> int:
        return await (await chord(noop.map(numbers), total.p(numbers.stop)).send())

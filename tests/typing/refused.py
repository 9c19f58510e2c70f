"""Code that neither checker may accept; each line that is marked is an error in both, no other is."""

from __future__ import annotations

from aioqueue import Server

server = Server("memory://typing")


@server.task
async def add(x: int, y: int) -> int:
    return x + y


@server.task
async def scale(factor: float, n: int) -> float:
    return n * factor


@server.task
def crunch(n: int) -> str:
    return str(n)


async def wrong() -> None:
    await add.send("x", 2)  # error: not an int
    await add.send(1)  # error: y is missing
    await add.send(1, 2, 3)  # error: one too many
    await add.send(1, z=2)  # error: there is no z
    value: str = await (await add.send(1, 2))  # error: an int comes back
    print(value)
    add.s(1, "y")  # error: not an int
    add.p(1, 2)  # error: nothing is left for the result
    scale.p("x")  # error: not a float
    crunch.p(1)  # error: nothing is left for the result
    add.options(dely=3)  # error: there is no such option
    add.options(delay="soon")  # error: not seconds
    number: int = crunch(1)  # error: a str comes back
    print(number)


@server.task(executor="gpu")  # error: there is no such executor
def somewhere() -> None: ...

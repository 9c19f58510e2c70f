"""Code that neither checker may accept; each line that is marked is an error in both, no other is."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aioqueue import Chain, Link, Server, Signature, chain, chord, group

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


@server.task
async def total(xs: list[int]) -> int:
    return sum(xs)


@server.task
async def streamed(xs: AsyncIterator[int]) -> float:
    return sum([x async for x in xs])


@server.task
async def size(body: bytes) -> int:
    return len(body)


@server.task
async def plan(n: int) -> Signature[str]:
    return crunch.s(n)


@server.task
def planned(n: int) -> Signature[str]:
    return crunch.s(n)


@server.task
async def rows(n: int) -> AsyncIterator[str]:
    for i in range(n):
        yield str(i)


async def wrong_streams() -> None:
    await rows.send("x")  # error: not an int
    count: str = await (await rows.send(1))  # error: a count comes back
    print(count)
    rows.s(1) | size.p()  # error: a count is no bytes
    async for event in (await rows.send(1)).events():
        if event.kind == "value":
            number: int = event.value  # error: a str was yielded
            print(number)


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


add.s(1, 2) | total.p()  # error: an int is no list
add.s(1, 2) | size.p()  # error: an int is no bytes
add.s(1, 2) | crunch.p() | add.p(1)  # error: a str is no int
add.p(1) | size.p()  # error: an int is no bytes
add.s(1, 2) | add  # error: a task is no call of it
plan.s(1) | add.p(1)  # error: a str is no int
planned.s(1) | add.p(1)  # error: a str is no int
plan.p("x")  # error: nothing is left for the result
group([add.p(1), size.p()])  # error: members want different inputs
group(add.s(1, 2))  # error: one call is no group
group([add.s(1, 2), 3])  # error: a number is no call
group([add.s(1, 2)]) | add.p(1)  # error: a list is no int
group([crunch.s(1)]) | total.p()  # error: strs are no ints
add.s(1, 2) | group([add.p(1), add.p(2)]) | crunch.p()  # error: a list is no int
add.s(1, 2) | streamed.p()  # error: an int is no stream
group([crunch.s(1)]) | streamed.p()  # error: strs are no ints
crunch.s(1) | group([add.p(1), add.p(2)])  # error: a str is no int
chain()  # error: a chain has steps
chain(add.s(1, 2), size.p())  # error: an int is no bytes
chain(add.s(1, 2), crunch.p(), add.p(1))  # error: a str is no int
chain(add.s(1, 2), add.p(1), add.p(2), size.p())  # error: an int is no bytes
chain(add.s(1, 2), add.p(1), add.p(2), crunch.p(), add.p(2))  # error: a str is no int
chain(add.p(1), crunch.p(), add.p(1))  # error: a str is no int
chain(add.s(1, 2), add)  # error: a task is no call of it
chain(add.s(1, 2), 3)  # error: a number is no call
chord(group([add.s(1, 2)]), add.p(1))  # error: a list is no int
chord(group([crunch.s(1)]), total.p())  # error: strs are no ints
chord(group([add.s(1, 2)]), total.p(), errors="collect")  # error: errors are among the values
chord(add.s(1, 2), total.p())  # error: one call is no group
chord(group([add.s(1, 2)]), total.p(), errors="some")  # error: there is no such way
crunch.map(["x"])  # error: a str is no int
add.map([1, 2])  # error: it wants two arguments
total.chunks(["x"], 2)  # error: a str is no int
total.chunks([1, 2])  # error: the size is missing
crunch.chunks([1, 2], 2)  # error: it takes no list
add.options(on_error=crunch.p())  # error: a message is no int
add.s(1, 2).options(on_error=add.p(1))  # error: a message is no int
add.s(1, 2).options(on_error=[size.p()])  # error: a message is no bytes
add.s(1, 2).options(on_error=crunch.p() | size.p())  # error: a message is no int
add.s(1, 2).options(on_error=group([add.p(1), crunch.p()]))  # error: a message is no int
add.s(1, 2).options(on_error=streamed.p())  # error: a message is no stream
add.s(1, 2).options(on_error=crunch)  # error: a task is no call of it
add.p(1).options(on_error=add.p(1))  # error: a message is no int
chain(add.s(1, 2)).options(on_error=add.p(1))  # error: a message is no int
add.options(on_success=size.p())  # error: an int is no bytes
add.options(on_success=crunch)  # error: a task is no call of it
add.s(1, 2).options(on_success=total.p())  # error: an int is no list
add.s(1, 2).options(on_success=[crunch.p(), size.p()])  # error: an int is no bytes
add.p(1).options(on_success=size.p())  # error: an int is no bytes
crunch.options(on_success=add.p(1))  # error: a str is no int
rows.options(on_success=size.p())  # error: a count is no bytes
plan.options(on_success=add.p(1))  # error: a str is no int
chain(add.s(1, 2), crunch.p()).options(on_success=add.p(1))  # error: a str is no int
group([crunch.s(1)]).options(on_success=total.p())  # error: strs are no ints
group([add.s(1, 2)]).options(on_success=add.p(1))  # error: a list is no int
chord(group([add.s(1, 2)]), total.p()).options(on_success=size.p())  # error: an int is no bytes
chain(add.s(1, 2)).options(dely=3)  # error: there is no such option
text: Signature[str] = add.s(1, 2) | add.p(3)  # error: it is an int's
link: Signature[int] = add.p(1)  # error: it still wants a result
steps: Chain[str] = chain(add.s(1, 2), add.p(3))  # error: it is an int's
wants: Link[str, int] = add.p(1) | add.p(2)  # error: it wants an int
server.schedule("a", "@daily", add.p(1))  # error: it still wants a result
server.schedule("a", "@daily", add.s(1, 2), misfire="some")  # error: there is no such policy
server.schedule("a", "@daily", add.s(1, 2), zone="UTC")  # error: there is no such option
server.periodic(None)  # error: there is no such time
server.periodic("@daily")(add).send(1)  # error: it wants two arguments

"""Pipe: many callers on one connection, each with its own reply, whatever becomes of the others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from redis.exceptions import ConnectionError, NoScriptError, ResponseError, TimeoutError

from aioqueue.adapters.redis.pipe import Pipe
from tests.support.waiting import eventually, pause, under_way, within
from tests.unit.adapters.redis.fake import Command, Fake, bulk, echo, running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    """A server that echoes."""
    async with running() as fake:
        yield fake


@pytest.fixture
async def pipe(fake: Fake) -> AsyncIterator[Pipe]:
    """A pipe to it, which waits 5 s for an answer."""
    pipe = Pipe(fake.make, timeout=5.0)
    yield pipe
    await pipe.close()


@pytest.fixture
async def hasty(fake: Fake) -> AsyncIterator[Pipe]:
    """A pipe to it, which waits 1 s for an answer."""
    pipe = Pipe(fake.make, timeout=1.0)
    yield pipe
    await pipe.close()


def silent(command: Command) -> bytes:
    """Do not answer."""
    return b""


async def calls(pipe: Pipe, count: int) -> list[object]:
    """Make so many calls at once, and return their answers or errors."""
    return await within(
        asyncio.gather(*(pipe.call("ECHO", str(n)) for n in range(count)), return_exceptions=True)
    )


async def test_calls_of_one_moment_are_written_in_one_piece(fake: Fake, pipe: Pipe) -> None:
    await pipe.call("PING", "first")
    answers = await calls(pipe, 100)

    assert answers == [b"%d" % n for n in range(100)]
    assert len(fake.connections) == 1
    assert [len(read) for read in fake.last.reads] == [1, 100]


async def test_call_does_not_wait_for_the_answers_before_it(fake: Fake, pipe: Pipe) -> None:
    fake.answer = silent
    first = await under_way(pipe.call("ECHO", "1"))
    second = await under_way(pipe.call("ECHO", "2"))

    fake.last.send(bulk(b"one") + bulk(b"two"))

    assert (await within(first), await within(second)) == (b"one", b"two")


async def test_answers_may_arrive_in_any_pieces(fake: Fake, pipe: Pipe) -> None:
    fake.answer = silent
    waiting = [await under_way(pipe.call("ECHO", str(n)), seconds=0.01) for n in range(3)]
    for byte in bulk(b"a") + b":7\r\n" + b"*2\r\n" + bulk(b"b") + b"$-1\r\n":
        fake.last.send(bytes([byte]))
        await pause(0.001)

    assert [await within(each) for each in waiting] == [b"a", 7, [b"b", None]]


async def test_cancelled_call_takes_nobodys_answer(fake: Fake, pipe: Pipe) -> None:
    fake.answer = silent
    waiting = [await under_way(pipe.call("ECHO", str(n)), seconds=0.01) for n in range(3)]
    waiting[1].cancel()
    await asyncio.wait([waiting[1]])
    fake.last.send(bulk(b"0") + bulk(b"1") + bulk(b"2"))

    assert (await within(waiting[0]), await within(waiting[2])) == (b"0", b"2")
    assert len(fake.connections) == 1


async def test_call_that_is_cancelled_before_it_is_written_is_not_sent(fake: Fake, pipe: Pipe) -> None:
    await pipe.call("PING", "first")
    calling = asyncio.create_task(pipe.call("ECHO", "never"))
    await asyncio.sleep(0)
    calling.cancel()
    await pipe.call("ECHO", "after")

    assert calling.cancelled()
    assert [command[-1] for command in fake.last.commands] in (
        [b"first", b"after"],
        [b"first", b"never", b"after"],
    )


async def test_answers_stay_with_their_callers_whoever_is_cancelled(fake: Fake, pipe: Pipe) -> None:
    dice = random.Random(11)
    wrong = []

    async def ask(number: int) -> None:
        for step in range(20):
            word = f"{number}/{step}".encode()
            if await pipe.call("ECHO", word) != word:
                wrong.append(word)

    asking = [asyncio.create_task(ask(number)) for number in range(50)]
    for task in dice.sample(asking, 25):
        for _ in range(dice.randrange(5)):
            await asyncio.sleep(0)
        task.cancel()
    await within(asyncio.wait(asking))

    assert wrong == []
    assert len(fake.connections) == 1
    assert sum(task.cancelled() for task in asking) > 10


async def test_error_is_for_its_caller_alone(fake: Fake, pipe: Pipe) -> None:
    def answer(command: Command) -> bytes:
        return b"-ERR no such thing\r\n" if command[-1] == b"1" else echo(command)

    fake.answer = answer
    answers = await calls(pipe, 3)

    assert answers[::2] == [b"0", b"2"]
    assert isinstance(answers[1], ResponseError)
    assert len(fake.connections) == 1


async def test_error_of_a_kind_is_of_that_kind(fake: Fake, pipe: Pipe) -> None:
    fake.answer = lambda command: b"-NOSCRIPT No matching script.\r\n"

    with pytest.raises(NoScriptError):
        await within(pipe.call("EVALSHA", "x"))


async def test_cut_fails_those_in_flight_and_nobody_else(fake: Fake, pipe: Pipe) -> None:
    assert await pipe.call("ECHO", "before") == b"before"
    fake.answer = silent
    flying = [await under_way(pipe.call("ECHO", str(n)), seconds=0.01) for n in range(3)]
    fake.answer = echo

    fake.last.cut()
    await asyncio.wait(flying)
    after = await calls(pipe, 3)

    assert all(isinstance(each.exception(), ConnectionError) for each in flying)
    assert len({id(each.exception()) for each in flying}) == 3
    assert after == [b"0", b"1", b"2"]
    assert len(fake.connections) == 2


async def test_late_answers_of_a_lost_connection_are_nobodys(fake: Fake, pipe: Pipe) -> None:
    """Calls that are made in the very moments of a cut get their own answer, or an error."""
    wrong = []

    async def ask(number: int) -> None:
        for step in range(60):
            word = f"{number}/{step}".encode()
            try:
                if await pipe.call("ECHO", word) != word:
                    wrong.append(word)
            except ConnectionError:
                await pause(0.001)

    asking = asyncio.gather(*(ask(number) for number in range(20)))
    while not asking.done():
        await pause(0.003)
        if fake.connections:
            fake.last.cut()
    await asking

    assert wrong == []
    assert len(fake.connections) > 3


async def test_oldest_call_without_an_answer_ends_the_connection(fake: Fake, hasty: Pipe) -> None:
    loop = asyncio.get_running_loop()
    fake.answer = silent
    began = loop.time()
    first = await under_way(hasty.call("ECHO", "1"))
    second = await under_way(hasty.call("ECHO", "2"))

    with pytest.raises(TimeoutError, match=r"no answer within 1 s"):
        await within(first)
    took = loop.time() - began
    with pytest.raises(TimeoutError):
        await within(second)
    fake.answer = echo

    assert 0.9 < took < 3.0
    assert await within(hasty.call("ECHO", "3")) == b"3"
    assert len(fake.connections) == 2


async def test_call_behind_what_is_not_read_goes_on_another_connection(fake: Fake, hasty: Pipe) -> None:
    await hasty.call("PING", "first")
    fake.hears.clear()
    great = await under_way(hasty.call("ECHO", b"x" * 50_000_000))
    small = await under_way(hasty.call("ECHO", "small"))

    with pytest.raises(TimeoutError):
        await within(great)
    fake.hears.set()

    assert await within(small) == b"small"


async def test_connection_that_answers_in_time_is_kept(fake: Fake, hasty: Pipe) -> None:
    fake.answer = silent
    for number in range(12):
        waiting = await under_way(hasty.call("ECHO", str(number)))
        await pause(0.05)
        fake.last.send(bulk(b"%d" % number))
        assert await within(waiting) == b"%d" % number

    assert len(fake.connections) == 1


async def test_server_that_refuses_is_asked_anew_by_each_call(fake: Fake, pipe: Pipe) -> None:
    fake.refuses = True
    for _ in range(3):
        with pytest.raises((ConnectionError, OSError)):
            await within(pipe.call("ECHO", "no"))
    fake.refuses = False

    assert await within(pipe.call("ECHO", "yes")) == b"yes"


async def test_close_tells_who_waits(fake: Fake) -> None:
    pipe = Pipe(fake.make, timeout=5.0)
    fake.answer = silent
    flying = await under_way(pipe.call("ECHO", "1"))
    queued = asyncio.create_task(pipe.call("ECHO", "2"))
    await asyncio.sleep(0)

    await within(pipe.close(), deadline=1.0)

    for each in (flying, queued):
        with pytest.raises(ConnectionError, match="closed"):
            await within(each)
    with pytest.raises(ConnectionError, match="closed"):
        await pipe.call("ECHO", "3")
    await pipe.close()


async def test_pipe_that_is_closed_before_it_began_takes_no_calls(fake: Fake) -> None:
    pipe = Pipe(fake.make, timeout=5.0)
    await pipe.close()

    with pytest.raises(ConnectionError, match="closed"):
        await within(pipe.call("ECHO", "1"), deadline=1.0)


async def test_close_ends_while_it_connects(fake: Fake) -> None:
    fake.answer = silent
    for steps in range(1, 12):
        pipe = Pipe(fake.make, timeout=5.0)
        calling = asyncio.create_task(pipe.call("ECHO", "1"))
        for _ in range(steps):
            await asyncio.sleep(0)
        await within(pipe.close(), deadline=1.0)
        await within(asyncio.wait([calling]), deadline=1.0)
        assert isinstance(calling.exception(), ConnectionError)


async def test_trouble_is_remembered(fake: Fake, pipe: Pipe) -> None:
    begun = pipe.troubled
    await pipe.call("ECHO", "quick")
    assert pipe.troubled == begun

    fake.last.cut()
    await eventually(lambda: pipe.troubled > begun)

"""What cannot be decoded, found or done ends in the dead letters, and its neighbours pay nothing."""

from __future__ import annotations

import pytest

from aioqueue import Reject, RetryPolicy, Server, Signature
from aioqueue.errors import TaskFailedError
from aioqueue.models.state import State
from aioqueue.protocols.messages import Message
from tests.support.waiting import eventually, within

pytestmark = pytest.mark.anyio


async def test_bad_ones_are_dead_letters_with_reasons_and_two_hundred_good_ones_are_done(
    opened: Server,
) -> None:
    @opened.task
    async def double(n: int) -> int:
        return 2 * n

    @opened.task
    async def refuse() -> None:
        raise Reject("not on a Sunday")

    undecodable = Message("undecodable", "double", "default", b"\xff{no json")
    good = [double.s(n) for n in range(200)]

    results = await opened.send_many(good[:100])
    await opened.stores.submitter().submit([undecodable])
    unknown = await opened.send(Signature(name="nobody.knows.me"))
    rejected = await refuse.send()
    results += await opened.send_many(good[100:])
    async with opened.worker(concurrency=20):
        values = [await within(result.get()) for result in results]
        reasons: dict[str, str] = {}
        for id in ("undecodable", unknown.id, rejected.id):
            with pytest.raises(TaskFailedError) as failed:
                await within(opened.result(id).get())
            reasons[id] = str(failed.value)

    letters = {letter.id: letter for letter in await opened.stores.broker.dead_letters()}
    assert values == [2 * n for n in range(200)]
    assert letters.keys() == reasons.keys()
    assert all(letters[id].reason == reason for id, reason in reasons.items())
    assert reasons["undecodable"].startswith("undecodable: the body is not JSON")
    assert letters["undecodable"].body == b"\xff{no json"
    assert "knows 'nobody.knows.me'" in reasons[unknown.id]
    assert reasons[rejected.id] == "not on a Sunday"


async def test_unknown_task_is_given_back_uncounted_until_somebody_knows_it(server: Server) -> None:
    old = Server(server.settings.broker, backend=server.settings.backend, unknown_grace=30)
    async with old, old.worker() as worker:
        result = await old.send(Signature(name="late"))
        await eventually(lambda: bool(worker.running) or bool(worker.done) or _seen(old))

        old.register_task("late", _late)

        assert await within(result.get()) == "here"
        assert (await result.state()).attempt == 1


def _seen(server: Server) -> bool:
    return server.find("late") is None


async def _late() -> str:
    return "here"


async def test_rejected_task_is_not_retried_and_tells_its_error_callback(opened: Server) -> None:
    told: list[str] = []

    @opened.task
    async def tell(message: str) -> None:
        told.append(message)

    @opened.task(retry=RetryPolicy(max_retries=5, delay=0.0))
    async def refuse() -> None:
        raise Reject("no")

    async with opened.worker():
        result = await refuse.options(on_error=tell.p()).send()
        with pytest.raises(TaskFailedError, match="no"):
            await within(result.get())
        await eventually(lambda: bool(told))

    assert told == ["no"]
    assert (await result.state()).attempt == 1


async def test_task_whose_retries_are_used_up_is_a_dead_letter(opened: Server) -> None:
    runs: list[int] = []

    @opened.task(retry=RetryPolicy(max_retries=2, delay=0.0))
    async def fail() -> None:
        runs.append(1)
        raise ValueError("again")

    async with opened.worker():
        result = await fail.send()
        with pytest.raises(TaskFailedError, match="again"):
            await within(result.get())

    (letter,) = await opened.stores.broker.dead_letters()
    assert len(runs) == 3
    assert (letter.id, letter.attempt) == (result.id, 3)
    assert letter.reason == "retries used up: ValueError: again"
    assert (await result.state()).state is State.FAILURE


async def test_plain_failure_without_a_policy_is_no_dead_letter(opened: Server) -> None:
    @opened.task
    async def fail() -> None:
        raise ValueError("once")

    async with opened.worker():
        with pytest.raises(TaskFailedError, match="once"):
            await within((await fail.send()).get())

    assert await opened.stores.broker.dead_letters() == []


async def test_no_exception_of_a_task_stops_the_worker(opened: Server) -> None:
    class Unreadable(Exception):  # noqa: N818 - what it is called is not the subject
        def __str__(self) -> str:
            raise RuntimeError("no text")

    raised = (SystemExit(3), KeyboardInterrupt(), GeneratorExit(), StopAsyncIteration(), Unreadable())

    @opened.task
    async def throw(n: int) -> None:
        raise raised[n]

    async with opened.worker() as worker:
        for n, exc in enumerate(raised):
            with pytest.raises(TaskFailedError) as failed:
                await within((await throw.send(n)).get())
            assert failed.value.type == type(exc).__name__

        await eventually(lambda: worker.running == 0)

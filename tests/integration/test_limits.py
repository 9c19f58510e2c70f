"""max_queue: a send to a full queue is told and sends nothing; what follows a task's end is never refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from aioqueue import Chain, RetryPolicy, Server, Signature, current, group
from aioqueue.errors import ConfigurationError, QueueFullError
from aioqueue.models.signature import Signature as AnySignature
from tests.support.counting import counts
from tests.support.stores import Implementation, over_pairs
from tests.support.waiting import eventually, within

pytestmark = pytest.mark.anyio


@pytest.fixture(params=over_pairs())
def limited(request: pytest.FixtureRequest, tmp_path: Path) -> Server:
    """A Server whose queues hold three tasks at most, not open yet."""
    first, second = request.param
    assert isinstance(first, Implementation)
    backend = None if first is second else second.url(tmp_path)
    return Server(first.url(tmp_path), backend=backend, max_queue=3)


def calls(count: int, *, queue: str | None = None) -> list[AnySignature[int]]:
    return [Signature(name="one", queue=queue) for _ in range(count)]


async def test_send_to_a_full_queue_says_so_and_sends_nothing(limited: Server) -> None:
    async with limited:
        await limited.send_many(calls(2))
        refused = [Signature(name="one", id="refused"), Signature(name="one", queue="other")]
        with pytest.raises(QueueFullError) as told:
            await limited.send_many([*refused, *calls(1)])
        await limited.send_many(calls(1))
        with pytest.raises(QueueFullError):
            await limited.send(Signature(name="one", delay=60.0))
        held = [await counts(limited.stores.broker, queue) for queue in ("default", "other")]
        found = await limited.stores.backend.get(["refused"])

    assert str(told.value) == (
        "queue 'default' holds 2 of at most 3 tasks (max_queue), so 2 more are refused and nothing was sent; "
        "send again when some have ended, fewer at once, or raise max_queue"
    )
    assert [stats.ready for stats in held] == [3, 0]
    assert found == [None]


async def test_queue_accepts_again_when_its_tasks_have_ended(limited: Server) -> None:
    async with limited:
        limited.register_task("one", _one)
        results = await limited.send_many(calls(3))
        async with limited.worker():
            assert [await within(result.get()) for result in results] == [1, 1, 1]
            # of two stores the one has the end a moment before the other lets go
            await eventually(lambda: _empty(limited))
            again = await limited.send_many(calls(3))
            assert [await within(result.get()) for result in again] == [1, 1, 1]


async def test_retries_and_callbacks_are_never_refused(limited: Server) -> None:
    async with limited:

        @limited.task
        async def after() -> str:
            return "after"

        @limited.task(retry=RetryPolicy(max_retries=1, delay=0.0))
        async def second_time() -> int:
            if current().attempt == 1:
                raise ConnectionError("not yet")
            # the queue is full again by now
            await full.wait()
            return 2

        full = asyncio.Event()
        call = second_time.options(on_success=[after.s(), after.s()]).s()
        result = await limited.send(call)
        await limited.send_many(calls(2, queue="default"))
        async with limited.worker(concurrency=1, unknown_grace=60):
            await eventually(lambda: _attempt(limited, result.id, 2))
            full.set()
            assert await within(result.get()) == 2
            follow = limited.result(f"{result.id}.s1")
            assert await within(follow.get()) == "after"


async def test_concurrent_sends_fill_a_queue_and_do_not_refuse_those_to_another(limited: Server) -> None:
    async with limited:
        sends = [limited.send(call) for call in (*calls(5), *calls(3, queue="other"))]
        answers = await asyncio.gather(*sends, return_exceptions=True)
        held = [await counts(limited.stores.broker, queue) for queue in ("default", "other")]

    refused = [isinstance(answer, QueueFullError) for answer in answers]
    assert refused == [False] * 3 + [True] * 2 + [False] * 3
    assert [stats.ready for stats in held] == [3, 3]


async def test_workflow_is_refused_where_what_starts_of_it_has_no_room(limited: Server) -> None:
    wide = group([*calls(4)]).options(id="wide")
    long = Chain(steps=[*calls(1), *[Signature(name="two") for _ in range(5)]])
    async with limited:
        with pytest.raises(QueueFullError, match="max_queue"):
            await limited.send(wide)
        sent = await limited.send(long)
        held = await counts(limited.stores.broker, "default")
        found = await limited.stores.backend.workflow("wide")

    assert (held.ready, found) == (1, None)
    assert sent.created


async def test_limit_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="max_queue"):
        Server("memory://limits", max_queue=0)


async def _attempt(server: Server, id: str, attempt: int) -> bool:
    state = await server.result(id).state()
    return state.attempt == attempt and state.state == "STARTED"


async def _empty(server: Server) -> bool:
    stats = await counts(server.stores.broker, "default")
    return (stats.ready, stats.held) == (0, 0)


async def _one() -> int:
    return 1

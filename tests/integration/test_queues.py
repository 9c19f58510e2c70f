"""Queues and dead letters as an operator has them: paused, emptied, looked into, sent anew; on every pair."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from aioqueue import Reject, Server, Signature, chain, current
from aioqueue.errors import (
    ConfigurationError,
    QueueFullError,
    ResultNotFoundError,
    SignatureError,
    TaskCancelledError,
    TaskFailedError,
)
from aioqueue.models.state import State
from aioqueue.models.stats import DeadLetter
from aioqueue.protocols.messages import Message
from aioqueue.queues import Purged
from tests.support.waiting import eventually, pause, under_way, within

pytestmark = pytest.mark.anyio


async def test_paused_queue_starts_nothing_and_goes_on_at_once_when_resumed(opened: Server) -> None:
    ran: list[int] = []
    began, going = asyncio.Event(), asyncio.Event()

    @opened.task
    async def note(n: int) -> int:
        if n == 0:
            began.set()
            await going.wait()
        ran.append(n)
        return n

    queue = opened.queue("default")
    async with opened.worker():
        runs = await note.send(0)
        await within(began.wait())
        assert await queue.pause()
        later = [await note.send(n) for n in (1, 2)]
        await pause(0.3)
        assert ran == []
        going.set()
        assert await within(runs.get()) == 0
        await pause(0.2)
        assert ran == [0]
        assert (await queue.stats()).paused

        assert await queue.resume()

        assert [await within(result.get(), deadline=4) for result in later] == [1, 2]


async def test_burst_worker_takes_a_paused_queue_for_idle(opened: Server) -> None:
    @opened.task
    async def note() -> str:
        return "ran"

    result = await note.send()
    await opened.queue("default").pause()

    await within(opened.worker().run(until_idle=True))

    assert (await result.state()).state is State.PENDING
    await opened.queue("default").resume()
    await within(opened.worker().run(until_idle=True))
    assert await within(result.get()) == "ran"


async def test_purge_ends_what_waits_and_tells_its_waiters(opened: Server) -> None:
    going = asyncio.Event()

    @opened.task
    async def hold(n: int) -> int:
        await going.wait()
        return n

    async with opened.worker(concurrency=1):
        runs = await hold.send(1)
        await eventually(_held(opened, 1))
        waits, later = await hold.send(2), await hold.options(delay=600).send(3)
        steps = await chain(hold.s(4), hold.p()).options(delay=600).send()
        waiting = await under_way(waits.get(timeout=60))

        done = await opened.queue("default").purge()

        assert done == Purged(removed=3)
        for each in (waiting, later.get(timeout=5), steps.get(timeout=5)):
            with pytest.raises((TaskCancelledError, TaskFailedError)):
                await within(each)
        going.set()
        assert await within(runs.get()) == 1


async def test_pages_show_what_waits_and_who_runs_what(opened: Server) -> None:
    going = asyncio.Event()

    @opened.task
    async def hold(n: int) -> None:
        await going.wait()

    queue = opened.queue("default")
    async with opened.worker(concurrency=1, name="w1"):
        runs = await hold.send(0)
        await eventually(_held(opened, 1))
        waits = [await hold.options(priority=n).send(n) for n in (1, 7)]
        later = await hold.options(delay=600).send(9)

        pending, delayed, running = await queue.pending(), await queue.delayed(), await queue.running()
        first = await queue.pending(limit=1)
        second = await queue.pending(limit=1, after=first.next, bodies=True)

        assert [entry.id for entry in pending.entries] == [waits[1].id, waits[0].id]
        assert [entry.id for entry in delayed.entries] == [later.id]
        (entry,) = running.entries
        assert (entry.id, entry.worker) == (runs.id, "w1")
        assert entry.since is not None
        assert [e.id for e in (*first.entries, *second.entries)] == [waits[1].id, waits[0].id]
        assert second.entries[0].body == b'{"v":1,"a":[1],"t":"none"}'
        going.set()


async def test_dead_letter_is_shown_with_its_call(opened: Server) -> None:
    letter = await _dead(opened, 7)

    shown = await opened.dead.show(letter.id)
    page = await opened.queue("default").dead()

    assert shown.letter == letter
    assert page.letters == (letter,)
    assert shown.call is not None
    assert (shown.call.name, shown.call.args, shown.problem) == ("refuse", (7,), None)


async def test_requeued_letter_runs_under_a_new_id_and_knows_where_it_comes_from(opened: Server) -> None:
    letter = await _dead(opened, 7, priority=5)
    seen: list[tuple[str, str | None]] = []

    def accept(n: int) -> int:
        seen.append((current().task_id, current().headers.get("requeued_from")))
        return n

    other = Server(opened.settings.broker, backend=opened.settings.backend)
    other.register_task("refuse", accept)
    result = await opened.requeue(letter.id)
    (entry,) = (await opened.queue("default").pending()).entries
    async with other, other.worker():
        value = await within(result.get())

    assert value == 7
    assert seen == [(result.id, letter.id)]
    assert result.id.startswith(letter.id)
    assert entry.priority == 5
    assert (await opened.dead.list()).letters == ()
    assert (await opened.result(letter.id).state()).state is State.FAILURE


async def test_requeue_repeats_safely_after_a_crash_between_sending_and_dropping(opened: Server) -> None:
    letter = await _dead(opened, 7)
    keeps = opened.stores.broker.discard

    async def dies(keys: object) -> int:
        raise ConnectionError("dead")

    opened.stores.broker.discard = dies  # type: ignore[method-assign]  # it dies before it
    with pytest.raises(ConnectionError):
        await opened.requeue(letter.id)
    opened.stores.broker.discard = keeps  # type: ignore[method-assign]  # another one goes on

    await opened.requeue(letter.id)

    assert len((await opened.queue("default").pending()).entries) == 1
    assert (await opened.dead.list()).letters == ()


async def test_letter_of_a_task_that_dies_again_is_another_one(opened: Server) -> None:
    letter = await _dead(opened, 7)
    again = await opened.requeue(letter.id)
    with pytest.raises(TaskFailedError):
        async with opened.worker():
            await within(again.get())

    (second,) = (await opened.dead.list()).letters
    third = await opened.requeue(second)

    assert second.id == again.id
    assert len({letter.id, second.id, third.id}) == 3


async def test_letter_may_go_to_another_queue_and_not_to_a_full_one(opened: Server) -> None:
    letter = await _dead(opened, 7)
    full = Server(opened.settings.broker, backend=opened.settings.backend, max_queue=1)
    await opened.send(Signature(name="waits"))

    async with full:
        with pytest.raises(QueueFullError):
            await full.requeue(letter.id)
    assert (await opened.dead.list()).letters == (letter,)
    await opened.requeue(letter.id, queue="aside")

    (entry,) = (await opened.queue("aside").pending()).entries
    assert entry.name == "refuse"


async def test_letter_that_expired_meanwhile_is_sent_without_that(opened: Server) -> None:
    @opened.task
    async def refuse() -> None:
        raise Reject("no")

    result = await refuse.options(expires=600).send()
    async with opened.worker():
        with pytest.raises(TaskFailedError):
            await within(result.get())

    await opened.requeue(result.id)
    (entry,) = (await opened.queue("default").pending(bodies=True)).entries

    assert entry.body is not None
    assert b'"xa"' not in entry.body


async def test_body_that_cannot_be_read_is_sent_as_it_is(opened: Server) -> None:
    await opened.stores.submitter().submit([Message("broken", "refuse", "default", b"\xff{", priority=3)])
    async with opened.worker():
        with pytest.raises(TaskFailedError):
            await within(opened.result("broken").get())

    shown = await opened.dead.show("broken")
    await opened.requeue("broken")
    (entry,) = (await opened.queue("default").pending(bodies=True)).entries

    assert shown.call is None
    assert (shown.problem or "").startswith("the body is not JSON")
    assert (entry.body, entry.priority) == (b"\xff{", 3)


async def test_requeued_step_opens_no_failed_workflow_again(opened: Server) -> None:
    done: list[str] = []

    @opened.task
    async def refuse(text: str) -> str:
        raise Reject(text)

    @opened.task
    async def last(text: str) -> None:
        done.append(text)

    steps = await chain(refuse.s("no"), last.p()).send()
    async with opened.worker():
        with pytest.raises(TaskFailedError):
            await within(steps.get())
    (letter,) = (await opened.dead.list()).letters

    other = Server(opened.settings.broker, backend=opened.settings.backend)
    other.register_task("refuse", _same)
    other.register_task("last", last.definition.function)
    async with other, other.worker():
        again = await opened.requeue(letter)
        assert await within(again.get()) == "no"

    assert done == []
    assert (await steps.state()).state is State.FAILURE


async def test_letters_are_dropped_one_or_all(opened: Server) -> None:
    first, second, third = [await _dead(opened, n) for n in range(3)]

    gone = await opened.dead.delete(second.id)
    left = [letter.id for letter in (await opened.dead.list()).letters]
    count = await opened.dead.purge()

    assert gone == second
    assert left == [third.id, first.id]
    assert count == 2
    assert await opened.dead_letters() == []


async def test_letter_that_is_not_there_is_not_found(opened: Server) -> None:
    for ask in (opened.dead.show, opened.dead.requeue, opened.dead.delete):
        with pytest.raises(ResultNotFoundError, match="no dead letter of a task 'nobody'"):
            await ask("nobody")


async def test_letter_that_names_no_task_is_not_sent(opened: Server) -> None:
    broker = opened.stores.broker
    letter = DeadLetter(id="", name="", queue="default", reason="", body=b"", attempt=1, at=1.0, key="1")

    with pytest.raises(SignatureError, match="names no task"):
        await opened.dead.requeue(letter)
    assert [stats.ready for stats in await broker.stats(["default"])] == [0]


async def test_queue_has_a_name_that_can_be_one(opened: Server) -> None:
    with pytest.raises(ConfigurationError, match="'a b' is no name of a queue"):
        opened.queue("a b")


async def test_queue_of_a_server_that_is_closed_is_told(server: Server) -> None:
    with pytest.raises(ConfigurationError, match="the server is not open"):
        await server.queue("default").pause()
    with pytest.raises(ConfigurationError, match="the server is not open"):
        await server.dead.list()


async def test_routes_say_where_calls_go_unless_they_say_so_themselves(server: Server) -> None:
    routed = Server(
        server.settings.broker,
        backend=server.settings.backend,
        routes={"mail.*": "mail", "mail.bulk": "never", "*.slow": "slow"},
    )

    @routed.task(name="mail.send")
    async def send() -> None: ...

    @routed.task(name="mail.own", queue="own")
    async def own() -> None: ...

    async with routed:
        for call in (
            send.s(),
            own.s(),
            send.s().options(queue="mine"),
            Signature(name="mail.bulk"),
            Signature(name="report.slow"),
            Signature(name="other"),
            chain(send.s(), Signature(name="report.slow", takes="none")),
        ):
            await routed.send(call)
        counts = {stats.queue: stats.ready for stats in await routed.stores.broker.stats()}

    assert {queue: n for queue, n in counts.items() if n} == {
        "mail": 3,
        "own": 1,
        "mine": 1,
        "slow": 1,
        "default": 1,
    }


async def test_callbacks_that_a_worker_sends_are_routed_too(server: Server) -> None:
    routed = Server(server.settings.broker, backend=server.settings.backend, routes={"told": "aside"})

    @routed.task
    async def work() -> int:
        return 1

    async with routed, routed.worker():
        result = await work.options(on_success=Signature(name="told")).send()
        await within(result.get())

        async def aside() -> bool:
            return (await routed.queue("aside").stats()).ready == 1

        await eventually(aside)


async def test_weighted_worker_starts_as_its_weights_say(opened: Server) -> None:
    ran: list[str] = []

    @opened.task
    async def note() -> None:
        ran.append(current().queue)

    await opened.send_many([note.s().options(queue=queue) for queue in ("a", "b") for _ in range(40)])

    await within(opened.worker(queues=["a:3", "b:1"], concurrency=4).run(until_idle=True), deadline=30)

    assert ran[:40].count("a") == 30
    assert len(ran) == 80


def _same(text: str) -> str:
    return text


async def _dead(server: Server, n: int, *, priority: int = 0) -> DeadLetter:
    """Return the letter of a task that was rejected."""

    async def refuse(n: int) -> int:
        raise Reject("no")

    if server.find("refuse") is None:
        server.register_task("refuse", refuse)
    call = Signature(name="refuse", args=(n,), takes="none").options(priority=priority)
    result = await server.send(call)
    async with server.worker():
        with pytest.raises(TaskFailedError):
            await within(result.get())
    return (await server.dead.list()).letters[0]


def _held(server: Server, count: int) -> Callable[[], Awaitable[bool]]:
    async def held() -> bool:
        return (await server.queue("default").stats()).held == count

    return held

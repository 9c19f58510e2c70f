"""The worker: where user code runs, what it can know, and what it survives."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import threading
import time
from dataclasses import replace

import pytest

from aioqueue import Router, Server, Signature, current
from aioqueue.errors import ConfigurationError, DuplicateTaskError, TaskFailedError, UnavailableError
from aioqueue.models.state import State
from tests.support.faulty import Faults, FaultyBackend, FaultyBroker
from tests.support.waiting import eventually, within

pytestmark = pytest.mark.anyio

who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


def pid_and_thread() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


def die() -> None:
    os._exit(3)


def faulty(server: Server, faults: Faults) -> None:
    """Let *server*'s stores fail as *faults* says."""
    stores = server.stores
    broker = FaultyBroker(stores.broker, faults)
    server.stores = replace(
        stores, broker=broker, backend=FaultyBackend(stores.backend, faults), upkeep=(broker,)
    )


async def test_sync_task_runs_in_a_thread_with_the_context_of_its_run(opened: Server) -> None:
    @opened.task
    def where() -> tuple[int, str]:
        return threading.get_ident(), current().task_id

    async with opened.worker():
        result = await where.send()
        thread, task_id = await within(result.get())

    assert thread != threading.get_ident()
    assert task_id == result.id


@pytest.mark.anywhere
async def test_process_task_runs_in_another_process(opened: Server) -> None:
    task = opened.register_task("where", pid_and_thread, executor="process")

    async with opened.worker():
        pid, _ = await within((await task.send()).get(), deadline=30)

    assert pid != os.getpid()


@pytest.mark.anywhere
async def test_process_that_dies_fails_its_own_task_only(opened: Server) -> None:
    deadly = opened.register_task("die", die, executor="process")
    good = opened.register_task("where", pid_and_thread, executor="process")

    async with opened.worker():
        with pytest.raises(TaskFailedError) as failed:
            await within((await deadly.send()).get(), deadline=30)
        assert await within((await good.send()).get(), deadline=30)

    assert failed.value.type == "BrokenWorkerProcess"
    assert str(failed.value) == "the process that ran it died"


@pytest.mark.anywhere
async def test_process_task_must_be_found_by_an_import(opened: Server) -> None:
    opened.register_task("local", lambda: None, executor="process")

    with pytest.raises(ConfigurationError, match="needs a function that can be imported"):
        async with opened.worker():
            pass


async def test_task_knows_itself_and_code_outside_of_one_does_not(opened: Server) -> None:
    @opened.task
    async def know() -> list[object]:
        context = current()
        return [
            context.task_id,
            context.task_name,
            context.queue,
            context.attempt,
            dict(context.headers),
            context.worker,
        ]

    async with opened.worker(queues=["q1"], name="w1"):
        result = await know.options(queue="q1", headers={"tenant": "7"}).send()

        assert await within(result.get()) == [result.id, "know", "q1", 1, {"tenant": "7"}, "w1"]
    with pytest.raises(ConfigurationError, match="no task is running here"):
        current()


async def test_runs_do_not_see_each_others_context(opened: Server) -> None:
    @opened.task
    async def leave(name: str) -> str:
        before = who.get()
        who.set(name)
        return before

    async with opened.worker(concurrency=1):
        results = await opened.send_many([leave.s("a"), leave.s("b")])

        assert [await within(result.get()) for result in results] == ["nobody", "nobody"]


async def test_worker_takes_only_what_it_has_slots_for(opened: Server) -> None:
    most = running = 0
    go = asyncio.Event()

    @opened.task
    async def hold() -> None:
        nonlocal most, running
        running += 1
        most = max(most, running)
        await go.wait()
        running -= 1

    results = await opened.send_many([hold.s() for _ in range(30)])
    async with opened.worker(concurrency=7):
        await eventually(lambda: running == 7)
        (counts,) = await opened.stores.broker.stats(["default"])
        go.set()
        for result in results:
            await within(result.get())

    assert (counts.ready, counts.held) == (23, 7)
    assert most == 7


async def test_worker_serves_its_queues_and_no_other(opened: Server) -> None:
    @opened.task
    async def one() -> int:
        return 1

    async with opened.worker(queues=["a", "b"]):
        a, b, c = [await one.options(queue=queue).send() for queue in "abc"]
        assert [await within(result.get()) for result in (a, b)] == [1, 1]

        assert (await c.state()).state is State.PENDING


async def test_burst_ends_when_nothing_is_left(opened: Server) -> None:
    @opened.task
    async def follow(n: int) -> int:
        return n

    calls = [follow.s(n).options(on_success=follow.s(100 + n)) for n in range(50)]
    results = await opened.send_many(calls)
    later = await follow.options(delay=3600).send(1)

    worker = opened.worker()
    await within(worker.run(until_idle=True))

    assert worker.done == 100
    assert [(await result.state()).result for result in results] == list(range(50))
    assert (await later.state()).state is State.PENDING


async def test_worker_ends_after_as_many_tasks_as_it_may(opened: Server) -> None:
    @opened.task
    async def one() -> int:
        return 1

    await opened.send_many([one.s() for _ in range(20)])
    worker = opened.worker(max_tasks=8, concurrency=5)
    await within(worker.run())

    (counts,) = await opened.stores.broker.stats(["default"])
    assert worker.done == 8
    assert (counts.ready, counts.held) == (12, 0)


async def test_outages_of_the_store_are_survived(server: Server) -> None:
    faults = Faults(
        fail={
            "open": 2,
            "consume": 2,
            "receive": 3,
            "begin": 2,
            "finish": 3,
            "settle": 3,
            "commit": 3,
            "maintain": 2,
            "beat": 2,
            "leave": 1,
        },
        lose={"finish": 5, "settle": 5, "commit": 5},
    )
    sender = Server(server.settings.broker, backend=server.settings.backend)
    runs: list[int] = []

    @server.task
    async def count(n: int) -> int:
        runs.append(n)
        return n

    async with sender:
        results = await sender.send_many([Signature(name="count", args=[n]) for n in range(20)])
        faulty(server, faults)
        async with server.worker(concurrency=4, beat=0.05, lease=5):
            values = [await within(result.get(), deadline=40) for result in results]

    assert values == list(range(20))
    assert sorted(runs) == list(range(20))


async def test_stop_does_not_wait_for_a_store_that_is_away(server: Server) -> None:
    faults = Faults()
    begun = asyncio.Event()

    @server.task
    async def quick() -> None:
        begun.set()

    sender = Server(server.settings.broker, backend=server.settings.backend)
    async with sender:
        await sender.send(Signature(name="quick"))
        faulty(server, faults)
        faults.fail = dict.fromkeys(("finish", "commit", "settle", "release", "unclaim", "leave"), 1000000)
        worker = server.worker(grace=0.1)
        async with worker:
            await within(begun.wait())
            began = time.monotonic()
            await within(worker.stop(), deadline=5)

    assert time.monotonic() - began < 2


async def test_blocked_loop_is_told_with_the_task_and_the_line_and_costs_no_second_run(
    opened: Server, caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[int] = []

    @opened.task
    async def blocker() -> str:
        runs.append(1)
        time.sleep(1.2)  # noqa: ASYNC251 - to block, for longer than a lease, is the subject
        return "done"

    with caplog.at_level(logging.WARNING, "aioqueue.worker"):
        async with opened.worker(lease=1.0, beat=0.1, sweep=0.1, stall_warning=0.2):
            assert await within((await blocker.send()).get()) == "done"

    told = [record.getMessage() for record in caplog.records if "has been blocked" in record.getMessage()]
    # on a loaded machine the loop may be held up between tasks too
    told = [message for message in told if "blocker[" in message]
    assert runs == [1]
    assert len(told) == 1
    assert "test_worker.py:" in told[0]
    assert "time.sleep(1.2)" in told[0]


async def test_lost_lease_commits_nothing_and_the_worker_goes_on_under_a_new_id(
    opened: Server, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[str] = []
    first_run = asyncio.Event()

    @opened.task
    async def work() -> str:
        if not first_run.is_set():
            first_run.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("cancelled")
        return "second run"

    worker = opened.worker(lease=1.0, beat=0.1, sweep=0.1)
    async with worker:
        result = await work.send()
        await within(first_run.wait())
        assert worker._term is not None
        lease = worker._term._consumer.lease()
        await asyncio.to_thread(lease.drop)
        value = await within(result.get())
        state = await result.state()

    assert value == "second run"
    assert ended == ["cancelled"]
    assert state.attempt == 1
    assert any("the lease of consumer" in record.getMessage() for record in caplog.records)


async def test_name_is_registered_once_and_prefixes_keep_names_apart(opened: Server) -> None:
    mail = Router(prefix="mail.")

    @mail.task
    async def send() -> str:
        return "mail"

    @opened.task(name="send")
    async def other() -> str:
        return "other"

    with pytest.raises(ConfigurationError, match="is on a router that no server includes"):
        await send.send()
    opened.include(mail)
    with pytest.raises(DuplicateTaskError, match="there is a task 'send' already"):
        opened.register_task("send", pid_and_thread)

    async with opened.worker():
        assert await within((await send.send()).get()) == "mail"
        assert await within((await other.send()).get()) == "other"
        assert send.name == "mail.send"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"concurrency": 0}, "worker option 'concurrency'"),
        ({"queues": []}, "worker option 'queues'"),
        ({"speed": 3}, "worker option 'speed'"),
        ({"lease": 4, "beat": 3}, "beat=3.0 is too long for lease=4.0"),
    ],
)
async def test_option_that_makes_no_sense_is_named(
    opened: Server, options: dict[str, object], named: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        opened.worker(**options)

    assert named in str(refused.value)


async def test_unavailable_store_at_the_start_is_waited_for(server: Server) -> None:
    faults = Faults(fail={"open": 3})
    faulty(server, faults)

    async with server.worker():
        assert faults.names().count("open") >= 4

    with pytest.raises(UnavailableError):
        faults.fail = {"open": 100}
        await server.open()

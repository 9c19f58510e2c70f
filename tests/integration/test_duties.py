"""What a worker's duties do when something about them goes wrong."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from dataclasses import replace

import pytest

from aioqueue import Reject, Server, Signature, Worker, current
from aioqueue.errors import TaskFailedError, TaskTimeoutError
from aioqueue.logs import Attempt, attempt_of
from aioqueue.models.state import State
from aioqueue.protocols.lease import Lease
from aioqueue.testing import VirtualClock
from aioqueue.worker.heart import Heart
from aioqueue.worker.run import Run
from tests.support.faulty import Faults, FaultyBackend, FaultyBroker
from tests.support.waiting import eventually, pause, within

pytestmark = pytest.mark.anyio


def faulty(server: Server, faults: Faults) -> None:
    """Let *server*'s stores fail as *faults* says."""
    broker = FaultyBroker(server.stores.broker, faults)
    backend = FaultyBackend(server.stores.backend, faults)
    server.stores = replace(server.stores, broker=broker, backend=backend, upkeep=(broker,))


async def test_reason_that_is_no_text_stops_nobody(opened: Server) -> None:
    @opened.task
    async def refuse() -> None:
        raise Reject("no such file: " + os.fsdecode(b"caf\xe9.txt"))

    @opened.task
    async def good(n: int) -> int:
        return n

    async with opened.worker():
        rejected = await refuse.send()
        results = await opened.send_many([good.s(n) for n in range(20)])

        with pytest.raises(TaskFailedError, match="no such file"):
            await within(rejected.get())
        assert [await within(result.get()) for result in results] == list(range(20))


async def test_ending_no_store_can_take_ends_as_that_and_its_neighbours_are_written(server: Server) -> None:
    async with server:

        @server.task
        async def value(n: int) -> int:
            return n

        results = await server.send_many([value.s(n) for n in range(30)])
        bad = results[7].id
        async with server.worker(concurrency=30) as worker:
            assert worker._term is not None
            finisher = worker._term._committer._finisher
            finish = finisher.finish

            async def picky(endings):  # type: ignore[no-untyped-def]  # stands for the method it replaces
                if any(
                    ending.delivery.message.id == bad and ending.state is State.SUCCESS for ending in endings
                ):
                    raise OverflowError("that value is too odd")
                return await finish(endings)

            finisher.finish = picky  # type: ignore[method-assign]  # a store that is at fault
            with pytest.raises(TaskFailedError, match="its end cannot be written: that value is too odd"):
                await within(results[7].get())
            others = [await within(result.get()) for result in results if result.id != bad]

    assert others == [n for n in range(30) if n != 7]


async def test_burst_runs_what_a_task_sends_while_it_waits_for_it(opened: Server) -> None:
    @opened.task
    async def child() -> str:
        return "child"

    @opened.task
    async def parent() -> str:
        return await (await child.send())

    result = await parent.send()
    await within(opened.worker(concurrency=10).run(until_idle=True))

    assert (await result.state()).result == "child"


async def test_one_signal_stops_every_worker_that_runs_in_the_process() -> None:
    async with Server("memory://signals") as server:
        before = signal.getsignal(signal.SIGTERM)
        first = asyncio.create_task(server.worker(name="a").run())
        second = asyncio.create_task(server.worker(name="b").run())
        await eventually(lambda: signal.getsignal(signal.SIGTERM) is not before)
        store = server.stores.store
        assert store is not None

        async def both_there() -> bool:
            return len(await store.list("worker:")) == 2

        await eventually(both_there)
        os.kill(os.getpid(), signal.SIGTERM)
        await within(asyncio.gather(first, second))

        assert signal.getsignal(signal.SIGTERM) is before


async def test_thread_that_is_no_longer_awaited_keeps_its_place_until_it_ends(
    opened: Server, caplog: pytest.LogCaptureFixture
) -> None:
    over = threading.Event()

    # long enough that its thread has begun, on a loaded machine too
    @opened.task(timeout=0.5)
    def hang() -> None:
        over.wait(60)

    @opened.task
    def quick() -> str:
        return "done"

    @opened.task
    async def beside() -> str:
        return "done"

    try:
        async with opened.worker(concurrency=2):
            for result in [await hang.send(), await hang.send()]:
                with pytest.raises(TaskTimeoutError, match="its thread cannot be interrupted"):
                    await within(result.get())
            waits = await quick.send()
            assert await within((await beside.send()).get()) == "done"
            assert not (await waits.state()).state.final
            over.set()

            assert await within(waits.get()) == "done"
        assert "the last of 2 threads goes on" in caplog.text
    finally:
        over.set()


async def test_sync_task_that_raises_what_no_future_can_carry_fails(opened: Server) -> None:
    @opened.task
    def stop() -> None:
        raise StopIteration

    async with opened.worker():
        with pytest.raises(TaskFailedError, match="StopIteration"):
            await within((await stop.send()).get())


def whoami() -> str:
    return current().task_id


@pytest.mark.anywhere
async def test_process_task_knows_itself(opened: Server) -> None:
    task = opened.register_task("whoami", whoami, executor="process")

    async with opened.worker():
        result = await task.send()

        assert await within(result.get(), deadline=30) == result.id


def signalled() -> str:
    # as a Ctrl-C does, and the stop of a service, which are for the whole group
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(os.getpid(), number)
    return "done"


@pytest.mark.anywhere
async def test_signals_that_are_for_the_worker_leave_its_process_tasks_alone(opened: Server) -> None:
    task = opened.register_task("signalled", signalled, executor="process")

    async with opened.worker():
        assert await within((await task.send()).get(), deadline=30) == "done"


async def test_time_spent_waiting_for_a_thread_is_not_the_tasks(opened: Server) -> None:
    order: list[int] = []
    go = threading.Event()

    @opened.task(timeout=5)
    def wait(n: int) -> int:
        order.append(n)
        go.wait(20)
        return n

    async with opened.worker(concurrency=4) as worker:
        worker._pools._threads.total_tokens = 1
        results = await opened.send_many([wait.s(n) for n in range(3)])
        await eventually(lambda: len(order) == 1 and len(_runs(worker)) == 3)
        limited = [run for run in _runs(worker) if run._timer is not None]
        go.set()

        assert sorted([await within(result.get()) for result in results]) == [0, 1, 2]
    assert len(limited) == 1


def _runs(worker: Worker) -> list[Run]:
    """Return what a worker runs."""
    return [] if worker._term is None else list(worker._term._executor._runs.values())


async def test_task_that_is_given_back_does_not_count_towards_max_tasks(server: Server) -> None:
    patient = Server(server.settings.broker, backend=server.settings.backend, unknown_grace=600)

    @patient.task
    async def one() -> int:
        return 1

    async with patient:
        await patient.send(Signature(name="nobody.knows.me", priority=9))
        results = await patient.send_many([one.s() for _ in range(3)])
        worker = patient.worker(max_tasks=2, concurrency=1)
        await within(worker.run())
        states = [(await result.state()).state for result in results]

    assert worker.done == 2
    assert states == [State.SUCCESS, State.SUCCESS, State.PENDING]


async def test_unknown_task_tells_its_error_callback(opened: Server) -> None:
    told: list[str] = []

    @opened.task
    async def tell(message: str) -> None:
        told.append(message)

    async with opened.worker():
        await opened.send(Signature(name="nobody.knows.me", on_error=(Signature(name="tell"),)))
        await eventually(lambda: bool(told))

    assert "knows 'nobody.knows.me'" in told[0]


async def test_stop_while_a_claim_fails_ends_in_time_and_counts_nothing(server: Server) -> None:
    faults = Faults(fail={"claim": 10**6, "begin": 10**6})
    sender = Server(server.settings.broker, backend=server.settings.backend)
    async with sender:
        result = await sender.send(Signature(name="one"))
        faulty(server, faults)
        worker = server.worker(grace=0.3)
        async with worker:
            await eventually(lambda: bool({"claim", "begin"} & set(faults.names())))
            await within(worker.stop(), deadline=3)

        state = await result.state()
    assert (state.state, state.losses) == (State.PENDING, 0)


async def test_worker_that_is_cancelled_gives_back_uncounted(opened: Server) -> None:
    begun = asyncio.Event()

    @opened.task
    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    result = await hang.send()
    running = asyncio.create_task(opened.worker().run())
    await within(begun.wait())
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(running)
    begun.clear()

    async with opened.worker(grace=0):
        await within(begun.wait())
        state = await result.state()
    assert (state.state, state.attempt, state.losses) == (State.STARTED, 1, 0)


async def test_stop_before_the_first_run_is_heard(opened: Server) -> None:
    worker = opened.worker()

    await worker.stop()
    await within(worker.run(), deadline=3)

    assert worker.done == 0


async def test_entering_that_is_cancelled_leaves_no_worker_behind(server: Server) -> None:
    faults = Faults(fail={"open": 10**6})
    faulty(server, faults)
    worker = server.worker()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            async with worker:
                pytest.fail("was entered")

    tried = faults.names().count("open")
    faults.fail = {}
    assert worker._beside is not None
    await within(asyncio.wait([worker._beside]))
    assert faults.names().count("open") == tried


def test_worker_runs_in_one_loop_after_another() -> None:
    server = Server("memory://loops", clock=VirtualClock())
    server.register_task("one", _one)
    worker = server.worker()

    async def once() -> int:
        async with server, worker:
            value: int = await within((await server.send(Signature(name="one"))).get())
            return value

    assert [asyncio.run(once()), asyncio.run(once())] == [1, 1]


class Dead(Lease):
    """A lease whose store is at fault."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def beat(self) -> bool:
        raise self.error

    def drop(self) -> None:
        raise self.error


async def test_heart_tells_a_lapse_whatever_the_store_raises() -> None:
    lapsed = asyncio.Event()
    heart = Heart(
        [Dead(RuntimeError("odd"))],
        lease=0.2,
        beat=0.05,
        warn=0.1,
        stall=60,
        lapsed=lapsed.set,
        stalled=lambda: None,
    )
    heart.start()

    await within(lapsed.wait())

    await within(heart.stop())


async def test_blocked_loop_is_told_with_the_attempt_that_blocks_it() -> None:
    told, attempts = threading.Event(), list[Attempt]()

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found = attempt_of(record)
            if "has been blocked" in record.getMessage() and found is not None:
                attempts.append(found)
                told.set()

    server = Server("memory://blocked", stall_warning=0.4)

    @server.task
    async def block() -> bool:
        # several times, as what stood still just before is told only once
        for _ in range(10):
            await pause(0.3)
            if told.wait(2):
                break
        return told.is_set()

    log, listening = logging.getLogger("aioqueue.worker"), Listening()
    log.addHandler(listening)
    try:
        async with server, server.worker():
            result = await block.send()
            assert await within(result.get(), deadline=60)
    finally:
        log.removeHandler(listening)

    assert attempts[0] == Attempt(result.id, "block", "default", 1)


async def _one() -> int:
    return 1

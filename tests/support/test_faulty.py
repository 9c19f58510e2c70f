"""The faulty wrappers: they leave out no method, and go wrong where they are told to."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from aioqueue.errors import BackendUnavailableError, BrokerUnavailableError
from aioqueue.ids import new_id
from aioqueue.models.state import State
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.broker import Broker, Consumer
from aioqueue.protocols.finisher import Finisher, Submitter
from aioqueue.protocols.lease import Lease
from aioqueue.protocols.messages import Ending, Record, Settlement
from aioqueue.testing import VirtualClock
from tests.support.faulty import (
    Call,
    Crash,
    Faults,
    FaultyBackend,
    FaultyBroker,
    FaultyConsumer,
    FaultyFinisher,
    FaultyLease,
    FaultySubmitter,
)
from tests.support.stores import BUILT_IN, Pair, backend_of, broker_of, place
from tests.support.waiting import lent, message, one, take, under_way, within

WRAPPERS = [
    (Broker, FaultyBroker),
    (Consumer, FaultyConsumer),
    (Backend, FaultyBackend),
    (Finisher, FaultyFinisher),
    (Submitter, FaultySubmitter),
    (Lease, FaultyLease),
]
# What reaches no store by itself.
NO_CALLS = {"wake", "submitter", "finisher"}


@pytest.fixture
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """One store in memory."""
    clock = VirtualClock()
    async with place(BUILT_IN[0], tmp_path_factory.mktemp("store"), clock).opened() as adapter:
        yield Pair(broker_of(adapter), backend_of(adapter), clock, one_store=True)


@pytest.fixture
def queue() -> str:
    return f"queue-{new_id()}"


def members(kind: type) -> dict[str, object]:
    """What a Protocol asks for."""
    return {name: thing for name, thing in vars(kind).items() if not name.startswith("_")}


@pytest.mark.parametrize(("protocol", "wrapper"), WRAPPERS)
def test_wrapper_defines_every_member_of_its_protocol(protocol: type, wrapper: type) -> None:
    assert set(members(protocol)) <= set(vars(wrapper))


@pytest.mark.parametrize(("protocol", "wrapper"), WRAPPERS)
def test_wrapper_takes_the_arguments_of_its_protocol(protocol: type, wrapper: type) -> None:
    for name, wanted in members(protocol).items():
        given = vars(wrapper)[name]
        if isinstance(wanted, property):
            assert isinstance(given, property)
            continue
        assert callable(wanted)
        # A context manager's function is wrapped once more.
        parameters = inspect.signature(inspect.unwrap(given)).parameters
        assert list(parameters.values()) == list(inspect.signature(wanted).parameters.values()), name


def test_every_protocol_of_stores_is_wrapped() -> None:
    found = {
        kind.__name__
        for module in (Broker, Backend, Finisher, Lease)
        for kind in vars(inspect.getmodule(module)).values()
        if inspect.isclass(kind)
        and getattr(kind, "_is_protocol", False)
        and kind.__module__.startswith("aioqueue")
    }

    assert found == {protocol.__name__ for protocol, _ in WRAPPERS}


@pytest.mark.parametrize(("protocol", "wrapper"), WRAPPERS)
def test_every_method_that_reaches_the_store_is_counted(protocol: type, wrapper: type) -> None:
    methods = [name for name, thing in members(protocol).items() if not isinstance(thing, property)]
    # A consumer's lease was written when it was entered; a backend's is written when it is asked for.
    free = NO_CALLS | ({"lease"} if protocol is Consumer else set())

    uncounted = {
        name
        for name in methods
        if "self.faults.around" not in inspect.getsource(inspect.unwrap(vars(wrapper)[name]))
    }

    assert uncounted == free & set(methods)


@pytest.mark.anyio
async def test_calls_are_listed_in_order(pair: Pair, queue: str) -> None:
    faults = Faults()
    broker, backend = FaultyBroker(pair.broker, faults), FaultyBackend(pair.backend, faults)

    await broker.publish([message(queue)])
    async with broker.consume([queue], prefetch=1, lease=600, worker="w") as consumer:
        assert consumer.lease().beat()
        await consumer.settle([Settlement(await one(consumer))])
    await backend.get(["x"])

    assert faults.names() == ["publish", "consume", "beat", "receive", "settle", "leave", "get"]
    assert faults.calls[:3] == [
        Call(1, "publish", "before"),
        Call(1, "publish", "after"),
        Call(2, "consume", "before"),
    ]


@pytest.mark.anyio
async def test_one_step_pieces_work_between_wrapped_stores(pair: Pair, queue: str) -> None:
    faults = Faults()
    broker, backend = FaultyBroker(pair.broker, faults), FaultyBackend(pair.backend, faults)
    submitter = broker.submitter(backend)
    assert submitter is not None
    sent = message(queue)

    await submitter.submit([sent])
    async with broker.consume([queue], prefetch=1, lease=600, worker="w") as consumer:
        finisher = consumer.finisher(backend)
        assert finisher is not None
        delivery = await one(consumer)
        await finisher.begin([delivery])
        await finisher.release([delivery])
        finished = await finisher.finish([Ending(await one(consumer), State.SUCCESS, value=b"1")])

    assert list(finished) == [True]
    assert [record and record.value for record in await pair.backend.get([sent.id])] == [b"1"]
    assert faults.names() == [
        "submit", "consume", "receive", "begin", "release", "receive", "finish", "leave"
    ]  # fmt: skip


@pytest.mark.anyio
async def test_failed_calls_have_done_nothing(pair: Pair, queue: str) -> None:
    broker = FaultyBroker(pair.broker, Faults(fail={"publish": 2}))

    for _ in range(2):
        with pytest.raises(BrokerUnavailableError, match="before publish"):
            await broker.publish([message(queue)])
    await broker.publish([message(queue)])

    assert [stats.ready for stats in await broker.stats([queue])] == [1]


@pytest.mark.anyio
async def test_lost_answer_leaves_its_work_done(pair: Pair, queue: str) -> None:
    backend = FaultyBackend(pair.backend, Faults(lose={"put": 1}))
    record = Record(new_id(), "add", queue)

    with pytest.raises(BackendUnavailableError, match="after put"):
        await backend.put([record])

    assert await backend.get([record.id]) == [record]


@pytest.mark.anyio
async def test_single_call_can_be_picked(pair: Pair, queue: str) -> None:
    by_name = FaultyBackend(pair.backend, Faults(fail_at=(("get", "before", 2),)))
    by_index = FaultyBackend(pair.backend, Faults(fail_at=(Call(2, "get", "after"),)))

    for backend in (by_name, by_index):
        await backend.get([])
        with pytest.raises(BackendUnavailableError):
            await backend.get([])
        await backend.get([])


@pytest.mark.anyio
@pytest.mark.parametrize(("moment", "left"), [("before", 1), ("after", 0)])
async def test_crash_stops_the_process_and_leaves_what_it_held(
    pair: Pair, queue: str, moment: str, left: int
) -> None:
    faults = Faults(crash_at=("settle", "after" if moment == "after" else "before", 2))
    broker = FaultyBroker(pair.broker, faults)
    await pair.broker.publish([message(queue), message(queue), message(queue)])

    with pytest.raises(Crash):
        async with broker.consume([queue], prefetch=9, lease=600, worker="w") as consumer:
            for delivery in await take(consumer, 3):
                await consumer.settle([Settlement(delivery)])

    assert [stats.held for stats in await pair.broker.stats([queue])] == [left + 1]
    with pytest.raises(Crash):
        await broker.publish([message(queue)])
    with pytest.raises(Crash):
        consumer.lease().beat()
    await broker.clear_up()
    assert [stats.ready for stats in await pair.broker.stats([queue])] == [left + 1]


@pytest.mark.anyio
async def test_process_can_be_killed_while_it_waits(pair: Pair, queue: str) -> None:
    faults = Faults()
    broker = FaultyBroker(pair.broker, faults)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(broker.clear_up)
        context = broker.consume([queue], prefetch=1, lease=600, worker="w")
        consumer = await context.__aenter__()
        waiting = await under_way(consumer.receive(1, timeout=60))

        faults.crash()
        await pair.broker.publish([message(queue)])

        with pytest.raises(Crash):
            await within(waiting)
        assert [stats.held for stats in await pair.broker.stats([queue])] == [1]
        with pytest.raises(Crash):
            await context.__aexit__(None, None, None)


@pytest.mark.anyio
async def test_backends_leases_are_counted_too(pair: Pair, queue: str) -> None:
    faults = Faults(fail={"beat": 1})
    backend = FaultyBackend(pair.backend, faults)
    lease = backend.lease("owner", seconds=600)

    with pytest.raises(BackendUnavailableError):
        lease.beat()

    assert lease.beat()
    await backend.claim([lent(message(queue))], owner="owner", worker="w")
    lease.drop()
    assert faults.names() == ["lease", "beat", "beat", "claim", "drop"]

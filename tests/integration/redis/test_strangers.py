"""What does not belong there, or cannot be said, harms nobody else: entries, ids, records, records' keys."""

from __future__ import annotations

import pytest

from aioqueue.errors import BackendUnavailableError, PayloadTooLargeError, ResultNotFoundError
from tests.integration.redis.apparatus import Counted, prefix_of
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually, message, under_way, within

pytestmark = pytest.mark.anyio

STREAM = "q:default:0"
META = "1 0 0 1 0 0 0 1.5"


@pytest.mark.parametrize(
    "fields",
    [
        ("x", "y"),
        ("i", "stranger", "n", "work", "b", "{}"),
        ("i", "stranger", "n", "work", "b", "{}", "m", "one zero"),
        ("i", "stranger", "n", "work", "m", META),
    ],
)
async def test_entry_that_is_no_message_is_buried_and_its_neighbours_run(
    shared: RedisServer, url: str, fields: tuple[str, ...]
) -> None:
    counted = Counted(url)
    async with counted.server as server, server.worker():
        shared.command("XADD", f"{prefix_of(url)}{STREAM}", "*", *fields)
        results = await counted.send(20)
        assert await within(results[-1].get()) == 19
        await eventually(lambda: counted.ran_once(20))
        letters = await server.dead_letters()
        (counts,) = await server.stores.broker.stats(["default"])

    assert ["unreadable" in letter.reason for letter in letters] == [True]
    assert (counts.ready, counts.held) == (0, 0)


async def test_entry_of_a_newer_version_with_more_to_say_runs(shared: RedisServer, url: str) -> None:
    counted = Counted(url)
    async with counted.server as server, server.worker():
        shared.command(
            "XADD", f"{prefix_of(url)}{STREAM}", "*",
            "i", "newer", "n", "work", "m", f"{META} more", "b", '{"v":1,"a":[7]}',
        )  # fmt: skip
        await eventually(lambda: counted.runs[7] == 1)


async def test_id_that_cannot_be_said_is_not_found_and_cuts_off_nobody(url: str) -> None:
    counted = Counted(url)
    async with counted.server as server, server.worker():
        (slow,) = await server.send_many([counted.call(1, 0.3)])
        waiting = await under_way(slow.get())
        for id in ("\ud800", "no such/id\n", ""):
            with pytest.raises(ResultNotFoundError):
                await within(server.result(id).get(timeout=5))
            with pytest.raises(ResultNotFoundError):
                await within(server.result(id).state())
            with pytest.raises(ResultNotFoundError):
                await within(server.workflow(id))
            assert not await within(server.cancel(id))
        assert await within(waiting) == 1


async def test_record_that_cannot_be_read_is_told_to_who_asks_for_it_alone(
    shared: RedisServer, url: str
) -> None:
    counted = Counted(url)
    prefix = prefix_of(url)
    async with counted.server as server:
        shared.command("HSET", f"{prefix}t:newer", "s", "PARKED", "a", "1", "n", "x", "q", "default")
        shared.command("PEXPIRE", f"{prefix}t:newer", 60_000)
        shared.command("SET", f"{prefix}t:other", "no hash", "PX", 60_000)
        (good,) = await counted.send(1)
        waiting = await under_way(good.get())
        for id in ("newer", "other"):
            with pytest.raises(BackendUnavailableError, match=f"record of {id} cannot be read"):
                await within(server.result(id).get())
        async with server.worker():
            assert await within(waiting) == 0


async def test_deleted_stream_leaves_what_runs_to_its_worker(shared: RedisServer, url: str) -> None:
    counted = Counted(url)
    async with counted.server as server, server.worker():
        (result,) = await server.send_many([counted.call(3, 0.3)])
        await eventually(lambda: 3 in counted.running)
        shared.command("DEL", f"{prefix_of(url)}{STREAM}")
        assert await within(result.get()) == 3
        (later,) = await counted.send(1)
        assert await within(later.get()) == 0


async def test_more_calls_than_one_step_takes_are_refused_whole(url: str) -> None:
    counted = Counted(url)
    async with counted.server as server:
        submitter = server.stores.submitter()
        with pytest.raises(PayloadTooLargeError, match=r"50001 calls .* none was sent; send at most 50,000"):
            await submitter.submit([message("default")] * 50_001)
        (counts,) = await server.stores.broker.stats(["default"])

    assert counts.ready == 0


async def test_value_that_nobody_wants_is_hidden_and_its_repeats_are_met(url: str) -> None:
    counted = Counted(url)
    async with counted.server as server, server.worker():
        call = counted.call(4, id="once", result_ttl=0.0)
        await server.send_many([call])
        await eventually(lambda: counted.runs[4] == 1)

        async def hidden() -> bool:
            return await server.stores.backend.get(["once"]) == [None]

        await eventually(hidden)
        (again,) = await server.send_many([call])

    assert again.created is False
    assert counted.runs[4] == 1

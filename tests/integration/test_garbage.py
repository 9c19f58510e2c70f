"""What a task leaves behind is freed as it ends: nothing of it waits for the garbage collector."""

from __future__ import annotations

import gc

import pytest

from aioqueue import Server

pytestmark = pytest.mark.anyio

TASKS = 200


async def test_tasks_leave_no_rings() -> None:
    server = Server("memory://garbage")

    @server.task
    async def noop(number: int) -> int:
        return number

    async with server, server.worker():
        await (await noop.send(0)).get()
        gc.collect()
        gc.disable()
        try:
            results = await server.send_many([noop.s(number) for number in range(TASKS)])
            assert [await result.get() for result in results] == list(range(TASKS))
            del results
            found = gc.collect()
        finally:
            gc.enable()

    # some of the loop's own may be among it
    assert found < TASKS, f"{found} objects"

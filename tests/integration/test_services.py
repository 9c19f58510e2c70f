"""The examples as users run them: real HTTP, and a worker in a process of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.processes import AIOQUEUE, Process, run
from tests.support.redis_server import HOST, free_port
from tests.support.services import EXAMPLES, START, Example, Service, stop
from tests.support.stores import BUILT_IN, Implementation
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

SHARED = [store for store in BUILT_IN if store.name != "memory"]
WAITERS, SHORT, LONG = 10, 2.0, 30.0


@pytest.fixture(
    params=[pytest.param(store, marks=pytest.mark.slow if store.service else ()) for store in SHARED],
    ids=lambda store: store.name,
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place in a store that processes share."""
    store: Implementation = request.param
    return store.url(tmp_path)


@pytest.fixture(params=EXAMPLES, ids=lambda example: example.name)
def example(request: pytest.FixtureRequest) -> Example:
    """One of the services."""
    found: Example = request.param
    return found


@pytest.fixture
async def service(example: Example, url: str, tmp_path: Path) -> AsyncIterator[Service]:
    """The service, of which nothing runs yet."""
    async with Service(example, url, tmp_path) as service:
        yield service


async def started(client: httpx.AsyncClient, numbers: list[int]) -> str:
    """Start a sum; return where it is."""
    answer = await client.post("/sums", json={"numbers": numbers})
    assert answer.status_code == 202
    location = answer.headers["Location"]
    assert location == f"/sums/{answer.json()['id']}"
    return str(location)


async def test_service_starts_a_sum_and_tells_its_state_and_its_value(service: Service) -> None:
    await service.serve()
    await service.work()
    async with service.client() as client:
        place = await started(client, [1, 2, 3])
        value = await client.get(f"{place}/value", params={"timeout": LONG})
        state = await client.get(place)

    id = place.removeprefix("/sums/")
    assert (value.status_code, value.json()) == (200, {"id": id, "value": 6})
    assert (state.status_code, state.json()) == (200, {"id": id, "state": "SUCCESS", "attempt": 1})


async def test_service_tells_what_went_wrong_by_the_status(service: Service) -> None:
    await service.serve()
    await service.work()
    async with service.client() as client:
        place = await started(client, [])
        failed = await client.get(f"{place}/value", params={"timeout": LONG})
        state = await client.get(place)
        unknown = [await client.get(f"/sums/nobody{path}") for path in ("", "/value")]
        wrong = await client.post("/sums", json={"numbers": "six"})
        endless = await client.get(f"{place}/value", params={"timeout": 3_600})

    assert failed.status_code == 502
    assert failed.json() == {"error": "ValueError", "message": "there is nothing to add up"}
    assert state.json()["state"] == "FAILURE"
    assert [answer.status_code for answer in unknown] == [404, 404]
    assert {answer.json()["error"] for answer in unknown} == {"ResultNotFoundError"}
    assert (wrong.status_code, endless.status_code) == (422, 422)


async def test_wait_that_is_over_is_a_504_and_the_task_goes_on_past_a_restart(service: Service) -> None:
    first = await service.serve()
    async with service.client() as client:
        place = await started(client, [20, 22])
        late = await client.get(f"{place}/value", params={"timeout": 0.2})
        state = await client.get(place)
    stopped = await stop(first)
    await service.serve()
    await service.work()
    async with service.client() as client:
        value = await client.get(f"{place}/value", params={"timeout": LONG})

    assert (late.status_code, late.json()["error"]) == (504, "ResultTimeoutError")
    assert state.json()["state"] == "PENDING"
    assert stopped == 0, "\n".join(first.lines)
    assert value.json()["value"] == 42


async def test_client_that_goes_away_leaves_nothing_behind(service: Service) -> None:
    service.example = service.example.watching()
    # longer than this test waits, where the wait is to end with the client
    timeout = LONG if service.example.at_once else SHORT
    await service.serve()
    async with service.client() as client:

        async def held() -> Any:
            return (await client.get("/held")).json()

        async def waited_for() -> bool:
            return len((await held())["tasks"]) >= len(before["tasks"]) + WAITERS

        async def as_before() -> bool:
            return bool(await held() == before)

        place = await started(client, [1])
        await client.get(f"{place}/value", params={"timeout": 0.1})
        before = await held()
        async with service.client() as leaving:
            path = f"{place}/value?timeout={timeout}"
            waiting = [asyncio.create_task(leaving.get(path)) for _ in range(WAITERS)]
            await eventually(waited_for)
            for each in waiting:
                each.cancel()
            ended = await asyncio.gather(*waiting, return_exceptions=True)

        await eventually(as_before)
        assert {type(each) for each in ended} == {asyncio.CancelledError}


async def test_service_does_not_start_where_its_store_is_away(example: Example, tmp_path: Path) -> None:
    async with Service(example, f"redis://{HOST}:{free_port()}", tmp_path) as service:
        process = await service.launch()
        code = await process.wait(deadline=START)

    assert code > 0
    assert any("BrokerUnavailableError" in line for line in process.lines)


async def test_script_prints_what_its_calls_came_to(url: str, tmp_path: Path) -> None:
    env = {"AIOQUEUE_BROKER": url}
    async with Process.start(
        [*AIOQUEUE, "worker", "examples.script.sums:server"], env=env, cwd=tmp_path
    ) as worker:
        await worker.line("is ready", deadline=START)
        done = await run([sys.executable, "-m", "examples.script.sums"], env=env, cwd=tmp_path)

    assert (done.code, done.err) == (0, "")
    assert sorted(done.out.splitlines()) == [
        "the sum of [1, 2, 3] is 6",
        "the sum of [10, 20] is 30",
        "the sum of [] has failed: there is nothing to add up",
    ]

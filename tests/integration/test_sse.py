"""The example that streams to a browser, over real HTTP, with its worker in a process of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.services import Example, Service
from tests.support.stores import BUILT_IN
from tests.support.waiting import within

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

SSE = Example(
    "sse",
    "examples.fastapi_sse.app",
    ("uvicorn", "--no-access-log"),
    "examples.fastapi_sse.tasks:server",
    "examples.fastapi_sse.app",
    at_once=True,
)
DEADLINE = 60.0


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """The service and its worker, which share a file."""
    (sqlite,) = [store for store in BUILT_IN if store.name == "sqlite"]
    async with Service(SSE, sqlite.url(tmp_path), tmp_path) as service:
        await service.serve()
        await service.work()
        yield service


async def followed(
    client: httpx.AsyncClient, place: str, *, after: str | None = None, most: int = 1_000
) -> list[tuple[str, dict[str, Any]]]:
    """Return kind and data of the events of one connection, which is left after *most*."""
    found: list[tuple[str, dict[str, Any]]] = []
    headers = {} if after is None else {"Last-Event-ID": after}
    async with client.stream("GET", place, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        kind = ""
        async for line in answer.aiter_lines():
            name, _, text = line.partition(": ")
            if name == "event":
                kind = text
            elif name == "data":
                found.append((kind, json.loads(text)))
                if len(found) == most:
                    break
    return found


async def test_browser_that_connects_again_gets_every_event_once_and_in_order(service: Service) -> None:
    async with service.client() as client:
        page = await client.get("/")
        begun = await client.post("/texts", json={"text": "one two three four"})
        place = begun.headers["Location"]
        seen = await within(followed(client, place, most=4), deadline=DEADLINE)
        seen += await within(followed(client, place, after=seen[-1][1]["id"]), deadline=DEADLINE)
        over = await within(followed(client, place, after=seen[-1][1]["id"]), deadline=DEADLINE)
        unknown = await client.get("/texts/nobody/events")

    assert "new EventSource" in page.text
    assert [event["state"] for kind, event in seen if kind == "state"] == ["PENDING", "STARTED", "SUCCESS"]
    assert [event["value"] for kind, event in seen if kind == "value"] == ["ONE", "TWO", "THREE", "FOUR"]
    assert [event["done"] for kind, event in seen if kind == "progress"][-1] == 4
    ids = [event["id"] for _, event in seen]
    assert len(set(ids)) == len(ids)
    assert over == []
    assert unknown.status_code == 404

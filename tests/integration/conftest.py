"""Servers for tests of the whole: on every store, and on every pair of two."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from aioqueue import Server
from tests.support import acceptance
from tests.support.stores import Implementation, over_pairs, stands_for_all


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave tests in which no store has a part to the proofs, over all pairs but one."""
    for item in items:
        if item.get_closest_marker("anywhere") is None or not isinstance(item, pytest.Function):
            continue
        pair = cast("tuple[Implementation, ...]", item.callspec.params["server"])
        if not stands_for_all(pair):
            item.add_marker(pytest.mark.wide)


@pytest.fixture(params=over_pairs())
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Server:
    """A Server on stores of this test's own, not open yet."""
    first, second = request.param
    broker = first.url(tmp_path)
    backend = None if first is second else second.url(tmp_path)
    return Server(broker, backend=backend, unknown_grace=0)


@pytest.fixture
async def opened(server: Server) -> AsyncIterator[Server]:
    """The same, open."""
    async with server:
        yield server


@pytest.fixture
async def served(server: Server) -> AsyncIterator[Server]:
    """The Server with the tasks of the acceptance suite, open, and a worker beside it."""
    acceptance.register(server)
    async with server, server.worker():
        yield server

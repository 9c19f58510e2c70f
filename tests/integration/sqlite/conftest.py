"""Adapters on a file of each test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aioqueue.adapters.sqlite.backend import SqliteBackend
from aioqueue.adapters.sqlite.broker import SqliteBroker
from aioqueue.adapters.sqlite.core import Core
from aioqueue.adapters.sqlite.options import parse
from aioqueue.clock import SystemClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file will be."""
    return tmp_path / "queue.db"


@pytest.fixture
def url(path: Path) -> str:
    """Its URL."""
    return f"sqlite:///{path}"


@pytest.fixture
async def core(url: str) -> AsyncIterator[Core]:
    """What broker and backend share, open."""
    core = Core(parse(f"{url}?timeout=0.2"), SystemClock())
    broker = SqliteBroker(core)
    await broker.open()
    yield core
    await broker.close()


@pytest.fixture
def broker(core: Core) -> SqliteBroker:
    """The file's broker, open; it waits 0.2 s for a lock."""
    return SqliteBroker(core)


@pytest.fixture
def backend(core: Core) -> SqliteBackend:
    """The file's backend, open; it waits 0.2 s for a lock."""
    return SqliteBackend(core)

"""Upkeep keeps up with what is made, and leases leave no open files behind."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from aioqueue.adapters.sqlite import connect
from aioqueue.adapters.sqlite.backend import SqliteBackend
from aioqueue.adapters.sqlite.broker import SqliteBroker
from aioqueue.adapters.sqlite.core import Core
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.protocols.lease import Lease
from aioqueue.protocols.messages import OPEN_TTL, Record
from aioqueue.testing import VirtualClock
from tests.support.twostep import beat

pytestmark = pytest.mark.anyio

QUEUE = "queue"


def open_files(path: Path) -> int:
    """Count how often this process has the file, or one beside it, open."""
    files = {(found.st_dev, found.st_ino) for found in map(os.stat, path.parent.iterdir())}
    count = 0
    for number in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):
            found = os.fstat(int(number))
            count += (found.st_dev, found.st_ino) in files
    return count


async def test_one_round_drops_all_records_that_are_over(url: str) -> None:
    clock = VirtualClock()
    adapter = connect(url, clock=clock)
    broker, backend = adapter.broker, adapter.backend
    assert isinstance(broker, SqliteBroker)
    assert isinstance(backend, SqliteBackend)

    def count(tx: Transaction) -> int:
        return int(tx.db.execute("SELECT count(*) FROM tasks").fetchone()[0])

    await broker.open()
    await backend.put([Record(f"{number}", "add", QUEUE) for number in range(3_500)])
    before = await backend.core.session.writer.ask(count, write=False)
    await clock.advance(OPEN_TTL + 1)
    await broker.maintain()
    after = await backend.core.session.writer.ask(count, write=False)
    await broker.close()

    assert (before, after) == (3_500, 0)


async def test_leases_open_no_more_files_than_one_does(
    core: Core, broker: SqliteBroker, backend: SqliteBackend, path: Path
) -> None:
    leases: list[Lease] = []
    counts: list[int] = []
    for number in range(5):
        async with broker.consume([QUEUE], prefetch=1, lease=60, worker="w") as consumer:
            leases += [consumer.lease(), consumer.lease(), backend.lease(f"owner {number}", seconds=60)]
            assert [await beat(lease) for lease in leases[-3:]] == [True] * 3
        counts.append(open_files(path))
    await core.close("broker")

    assert counts == [counts[0]] * 5
    assert open_files(path) == 0

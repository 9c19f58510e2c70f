"""``kill -9`` at any moment leaves a whole file with all that was acknowledged."""

from __future__ import annotations

import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from aioqueue.adapters.sqlite.broker import SqliteBroker
from aioqueue.adapters.sqlite.core import Core
from aioqueue.adapters.sqlite.options import parse
from aioqueue.clock import SystemClock
from tests.support.processes import Process
from tests.support.waiting import message, within

pytestmark = pytest.mark.anyio

OTHER = Path(__file__).with_name("other.py")


async def killed(url: str, *, after: int) -> dict[str, set[str]]:
    """Let a process work, kill it once it has told *after* steps; return the ids it had told."""
    async with Process.start([sys.executable, OTHER, "work", url]) as process:
        for _ in range(after):
            await process.line("done")
        process.signal(signal.SIGKILL)
        assert await process.wait() == -signal.SIGKILL
        # its last line may be cut
        told = [line.split() for line in process.lines[:-1]]
    return {word: {id for first, *ids in told if first == word for id in ids} for word in ("sent", "done")}


async def test_killed_writer_leaves_a_whole_file_with_all_it_was_told(path: Path, url: str) -> None:
    sent, done = set[str](), set[str]()

    for after in (1, 3, 8, 13):
        told = await killed(url, after=after)
        sent |= told["sent"]
        done |= told["done"]

    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        states = dict(db.execute("SELECT id, state FROM tasks"))
        waiting = {id for (id,) in db.execute("SELECT id FROM messages")}
    assert sent <= states.keys()
    assert {states[id] for id in done} == {"SUCCESS"}
    # a task has a message until it has ended, and not a moment longer
    assert waiting == {id for id, state in states.items() if state != "SUCCESS"}


async def test_killed_process_holds_nobody_up(path: Path, url: str) -> None:
    await killed(url, after=2)
    core = Core(parse(f"{url}?timeout=1"), SystemClock())
    broker = SqliteBroker(core)
    await broker.open()

    assert await within(broker.publish([message("another")])) == [True]
    await broker.close()
